//! The export of `wasi:http/proxy`, and which path does what.

use wasip2::cli::exit;
use wasip2::clocks::wall_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::random;

use crate::respond::text;
use crate::{calls, respond, sins};

struct Misbehave;

wasip2::http::proxy::export!(Misbehave);

impl Guest for Misbehave {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        match target.split_once('?').map_or(target.as_str(), |(path, _)| path) {
            "/ok" => text(out, 200, "ok\n"),
            "/trap" => sins::trap(),
            "/loop" => sins::endless_loop(),
            "/memory" => sins::endless_memory(),
            "/never" => {}
            "/twice" => sins::twice(out),
            "/cut" => sins::cut(out),
            "/exit" => exit::exit(Err(())),
            "/stream" => respond::stream(out),
            "/echo" => respond::echo(&request, out),
            "/random" => {
                let bytes = random::get_random_bytes(16);
                let hexadecimal = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
                text(out, 200, &(hexadecimal + "\n"));
            }
            "/clock" => {
                let now = wall_clock::now();
                text(out, 200, &format!("{}.{:09}\n", now.seconds, now.nanoseconds));
            }
            "/call" => calls::answer(&request, out),
            path => text(out, 404, &format!("no such sin: {path}\n")),
        }
    }
}
