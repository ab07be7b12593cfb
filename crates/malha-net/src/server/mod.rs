//! What comes in: sockets that listen, TLS, and HTTP/1.1 and HTTP/2 on one port.
