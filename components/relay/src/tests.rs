use std::time::Duration;

use serde_json::{Value, json};
use service_kit::VERSION;
use service_kit::host::{FetchError, Fetched};
use service_kit::http::{Request, Response};
use service_kit::testing::{TestHost, fetched, request};

const NEXT: &str = "http://srv-2/";
const REMOTE: &str = "https://api.example/shows/1";

/// An answer where there is no database.
fn answer(request: &Request, host: &TestHost) -> Response {
    crate::answer(request, host, || Err::<rusqlite::Connection, _>("no such file".to_owned()))
}

/// The first link of a chain.
fn host(variables: &[(&'static str, &str)]) -> TestHost {
    let mut host = TestHost::default();
    for (name, value) in [("service_key", "service1"), ("service_name", "srv-1"), ("hostname", "srv-1-abc")] {
        host.variables.insert(name, value.to_owned());
    }
    host.variables.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    host
}

/// The same with a second link that answers this.
fn before(answer: Result<Fetched, FetchError>) -> TestHost {
    let mut host = host(&[("next_service", "srv-2")]);
    host.upstreams.insert(NEXT.to_owned(), answer);
    host
}

fn own() -> Value {
    json!({"name": "srv-1", "version": VERSION, "hostname": "srv-1-abc", "status": "up"})
}

fn get(host: &TestHost) -> Response {
    answer(&request("GET", "/", &[]), host)
}

#[track_caller]
fn json(response: &Response) -> Value {
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn the_last_link_speaks_for_itself_on_every_path() {
    for path in ["/", "/any/path?with=query", "/relay"] {
        let response = answer(&request("GET", path, &[]), &host(&[]));
        assert_eq!(json(&response), json!({"service1": own()}), "{path}");
        assert_eq!((response.header("x-app-version"), &response.log_message), (Some(VERSION), &None));
    }
}

#[test]
fn what_the_next_service_says_is_added_as_it_is() {
    let next =
        r#"{"service2":{"status":"up","score":1.10,"big":123456789012345678901},"http://srv-3/":{"status":"down"}}"#;
    let response = get(&before(Ok(fetched(200, next))));
    assert_eq!(json(&response)["service1"], own());
    let text = String::from_utf8(response.body.into_owned()).unwrap();
    assert!(text.contains(r#""service2":{"status":"up","score":1.10,"big":123456789012345678901}"#), "{text}");
    assert!(text.contains(r#""http://srv-3/":{"status":"down"}"#), "{text}");
    assert_eq!(response.log_message, None);
}

#[test]
fn a_next_service_without_a_good_answer_is_down_and_the_rest_still_answers() {
    for (next, reason) in [
        (Err(FetchError::Timeout), "no whole response in time"),
        (Err(FetchError::Failed("refused".into())), "refused"),
        (Err(FetchError::BadUrl), "not an http or https URL"),
        (Err(FetchError::TooLarge(9)), "larger than 9 bytes"),
        (Ok(fetched(503, "{}")), "status 503"),
        (Ok(fetched(404, "{}")), "status 404"),
        (Ok(fetched(200, "<html>")), "not JSON"),
        (Ok(fetched(200, "")), "not JSON"),
        (Ok(fetched(200, "[1]")), "not a JSON object"),
    ] {
        let response = get(&before(next));
        assert_eq!(json(&response), json!({"service1": own(), NEXT: {"status": "down"}}), "{reason}");
        let message = response.log_message.unwrap();
        assert!(message.starts_with("http://srv-2/ is down: ") && message.contains(reason), "{message}");
    }
}

#[test]
fn of_two_services_with_one_key_the_nearer_is_shown() {
    let response = get(&before(Ok(fetched(200, r#"{"service1":{"name":"another"}}"#))));
    assert_eq!(json(&response), json!({"service1": own()}));
}

#[test]
fn the_next_service_is_called_by_host_port_and_route() {
    for (port, route, url) in [
        ("80", "/", "http://srv-2/"),
        ("", "", "http://srv-2/"),
        ("8080", "/a/b?c=d", "http://srv-2:8080/a/b?c=d"),
        ("3000", "a", "http://srv-2:3000/a"),
    ] {
        let host =
            host(&[("next_service", "srv-2"), ("next_port", port), ("next_route", route), ("call_timeout", "2")]);
        get(&host);
        let call = &host.calls.borrow()[0][0];
        assert_eq!((call.url.as_str(), call.limit), (url, Duration::from_secs(2)));
    }
}

#[test]
fn trace_and_what_routes_go_by_are_passed_on_and_nothing_else() {
    let passed_on = [
        ("User-Agent", "firefox"),
        ("x-group", "b"),
        ("x-request-id", "r"),
        ("traceparent", "00-t-s-01"),
        ("b3", "t-s-1"),
        ("x-b3-traceid", "t"),
    ];
    let mut headers = passed_on.to_vec();
    headers.extend([("cookie", "secret"), ("authorization", "Bearer x"), ("host", "srv-1")]);
    let mut host = before(Ok(fetched(200, "{}")));
    host.variables.insert("remote_url", REMOTE.to_owned());
    answer(&request("GET", "/", &headers), &host);
    let calls = host.calls.borrow();
    let sent: Vec<_> =
        calls[0][0].headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(sent, passed_on);
    // Whoever is outside learns nothing of the client.
    assert!(calls[1][0].headers.iter().all(|(name, value)| name == "accept" || value.starts_with(b"relay/")));
}

#[test]
fn an_api_outside_adds_its_data_or_is_down() {
    let remote = |answer| {
        let mut host = host(&[("remote_url", REMOTE)]);
        host.upstreams.insert(REMOTE.to_owned(), answer);
        get(&host)
    };
    let mut service = own();
    service["API_Data"] = json!([1, {"a": null}]);
    assert_eq!(json(&remote(Ok(fetched(200, r#"[1,{"a":null}]"#)))), json!({"service1": service}));
    for answer in [Err(FetchError::Timeout), Ok(fetched(500, "{}")), Ok(fetched(200, "oops"))] {
        let response = remote(answer);
        assert_eq!(json(&response), json!({"service1": own(), REMOTE: {"status": "down"}}));
        assert!(response.log_message.unwrap().starts_with("https://api.example/shows/1 is down: "));
    }
}

#[test]
fn one_neighbour_that_is_down_does_not_hide_the_other() {
    let mut host = before(Err(FetchError::Timeout));
    host.variables.insert("remote_url", REMOTE.to_owned());
    host.upstreams.insert(REMOTE.to_owned(), Ok(fetched(200, "7")));
    let response = json(&get(&host));
    assert_eq!((&response["service1"]["API_Data"], &response[NEXT]["status"]), (&json!(7), &json!("down")));
}

#[test]
fn a_feature_shows_once_it_has_a_message() {
    let response = get(&host(&[("feature_message", "new!")]));
    assert_eq!(json(&response)["service1"]["feature_message"], "new!");
}

#[test]
fn the_answer_is_delayed_and_a_delay_that_is_no_number_is_said() {
    let slow = host(&[("sleep_time", "1.5")]);
    get(&slow);
    assert_eq!(slow.now.get().0, Duration::from_millis(1_500));
    let wrong = host(&[("sleep_time", "2s")]);
    let message = get(&wrong).log_message.unwrap();
    assert!(message.starts_with("sleep_time is `2s`, which is not a number of seconds"), "{message}");
    assert_eq!(wrong.now.get().0, Duration::ZERO);
}

#[test]
fn health_calls_nobody_and_nothing_is_written() {
    let host = before(Ok(fetched(200, "{}")));
    for (method, path, status) in
        [("GET", "/relay/healthz", 200), ("GET", "/relay/info", 200), ("POST", "/", 405), ("HEAD", "/x", 200)]
    {
        let response = answer(&request(method, path, &[]), &host);
        assert_eq!((response.status, response.header("x-app-version")), (status, Some(VERSION)), "{method} {path}");
    }
    assert_eq!(host.calls.borrow().len(), 1, "of HEAD alone");
}

#[test]
fn a_show_of_the_database_is_added_where_it_is_on() {
    let get = |host: &TestHost| {
        let open = || rusqlite::Connection::open_in_memory().map_err(|error| error.to_string());
        crate::answer(&request("GET", "/", &[]), host, open)
    };
    let show = json(&get(&host(&[("database", "on")])))["service1"]["db_data"].clone();
    assert!(show["name"].is_string() && show["year"].is_u64(), "{show}");
    assert_eq!(json(&get(&host(&[("database", "off")]))), json!({"service1": own()}));
    let response = get(&host(&[("database", "yes")]));
    assert_eq!(json(&response), json!({"service1": own()}));
    assert_eq!(response.log_message.unwrap(), "database is `yes`, which is neither on nor off; taken as off");
}

#[test]
fn a_database_that_cannot_be_read_is_down_and_the_rest_still_answers() {
    let response = get(&host(&[("database", "on")]));
    assert_eq!(json(&response)["service1"]["db_data"], json!({"status": "down"}));
    assert_eq!(json(&response)["service1"]["status"], "up");
    assert_eq!(response.log_message.unwrap(), "the database is down: no such file");
}
