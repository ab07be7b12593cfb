//! `/{service}/healthz` and `/{service}/info`.

use serde::Serialize;

use crate::http::{Request, Response, is_read};
use crate::problem::method_not_allowed;
use crate::{COMMIT, VERSION};

#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    version: &'static str,
    commit: &'static str,
}

/// Answers the two paths that every service has, and nothing else.
///
/// `healthz` does not look at the configuration: it serves as a liveness probe, and restarting a pod brings no key.
pub fn answer(service: &str, request: &Request) -> Option<Response> {
    let page = request.path.strip_prefix('/')?.strip_prefix(service)?;
    let response = match page {
        "/healthz" => Response::json(&br#"{"status":"ok"}"#[..]),
        "/info" => {
            let info = Info { name: service, version: VERSION, commit: COMMIT };
            Response::json(serde_json::to_vec(&info).unwrap_or_default())
        }
        _ => return None,
    };
    Some(if is_read(request) { response } else { method_not_allowed(&request.method, "GET, HEAD") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Request {
        Request { method: "GET".into(), path: path.into(), ..Request::default() }
    }

    #[test]
    fn health_and_info_answer_under_the_name_of_the_service() {
        assert_eq!(answer("posts", &get("/posts/healthz")).unwrap().status, 200);
        let info = answer("posts", &get("/posts/info")).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.body).unwrap();
        assert_eq!(info["name"], "posts");
        assert_eq!(info["version"], VERSION);
        assert_eq!(info["commit"], COMMIT);
    }

    #[test]
    fn other_paths_are_left_to_the_service() {
        for path in ["/", "/posts", "/posts/7", "/healthz", "/postshealthz", "/comments/healthz"] {
            assert!(answer("posts", &get(path)).is_none(), "{path}");
        }
    }

    #[test]
    fn health_is_only_read() {
        let request = Request { method: "POST".into(), ..get("/posts/healthz") };
        assert_eq!(answer("posts", &request).unwrap().status, 405);
    }
}
