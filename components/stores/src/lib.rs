//! stores: does with Spin's SQLite and key-value stores what a request tells it, through the Spin SDK.
//!
//! The body of a request is a script of lines, the answer has a line or more for each. All lines of a script share one
//! connection. `/sqlite` and `/sqlite3` take SQL, `/keys` takes `get`, `set`, `exists`, `delete` and `list`; on all of them
//! `sleep N` waits N milliseconds. `/many` opens handles until there are no more. The header `x-label` names the store.

#[cfg(target_family = "wasm")]
#[expect(
    unsafe_code,
    clippy::same_length_and_capacity,
    clippy::needless_pass_by_value,
    reason = "in what http_component writes around the handler"
)]
mod component {
    use std::time::Duration;

    use spin_sdk::http::{Request, Response};
    use spin_sdk::key_value::Store;
    use spin_sdk::{sqlite, sqlite3};

    #[spin_sdk::http_component]
    fn stores(request: Request) -> Response {
        let label = request.header("x-label").and_then(|label| label.as_str()).unwrap_or("default");
        let script = String::from_utf8_lossy(request.body());
        let answer = match request.path() {
            "/sqlite" => run(&script, sqlite::Connection::open(label), |database, line| {
                let found = database.execute(line, &[]).map_err(|error| format!("{error:?}"))?;
                Ok(table(&found.columns, found.rows.iter().map(|row| row.values.as_slice())))
            }),
            "/sqlite3" => run(&script, sqlite3::Connection::open(label), |database, line| {
                let parameters = [sqlite3::Value::Text("first".to_owned()), sqlite3::Value::Integer(2)];
                let count = line.matches('?').count();
                let found = database.execute(line, &parameters[..count]).map_err(|error| format!("{error:?}"))?;
                let (row, changes) = (database.last_insert_rowid(), database.changes());
                let table = table(&found.columns, found.rows.iter().map(|row| row.values.as_slice()));
                Ok(format!("{table} (row {row}, {changes} changed)"))
            }),
            "/keys" => run(&script, Store::open(label), keys),
            "/many" => many(label),
            path => format!("no such path: {path}\n"),
        };
        Response::builder().status(200).header("content-type", "text/plain").body(answer).build()
    }

    fn run<T, E: std::fmt::Debug>(
        script: &str,
        opened: Result<T, E>,
        line: impl Fn(&T, &str) -> Result<String, String>,
    ) -> String {
        let store = match opened {
            Ok(store) => store,
            Err(error) => return format!("cannot open: {error:?}\n"),
        };
        let step = |text: &str| match text.strip_prefix("sleep ").and_then(|count| count.parse().ok()) {
            Some(count) => {
                pause(Duration::from_millis(count));
                "slept\n".to_owned()
            }
            None => line(&store, text).unwrap_or_else(|error| error) + "\n",
        };
        script.lines().map(step).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "a guest's sleep is its host's timer")]
    fn pause(duration: Duration) {
        std::thread::sleep(duration);
    }

    /// The names of the columns, then the rows.
    fn table<'a, V: std::fmt::Debug + 'a>(columns: &[String], rows: impl Iterator<Item = &'a [V]>) -> String {
        rows.fold(format!("{columns:?}"), |text, row| format!("{text} {row:?}")).replace("Value::", "")
    }

    fn keys(store: &Store, line: &str) -> Result<String, String> {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let answer = match (word(), word(), word()) {
            ("get", key, _) => store.get(key).map(|value| format!("{:?}", value.map(|bytes| lossy(&bytes)))),
            ("set", key, value) => store.set(key, value.as_bytes()).map(|()| "set".to_owned()),
            ("exists", key, _) => store.exists(key).map(|exists| exists.to_string()),
            ("delete", key, _) => store.delete(key).map(|()| "deleted".to_owned()),
            ("list", ..) => store.get_keys().map(|keys| format!("{keys:?}")),
            _ => return Err(format!("not understood: {line}")),
        };
        answer.map_err(|error| format!("{error:?}"))
    }

    fn lossy(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn many(label: &str) -> String {
        let mut databases = Vec::new();
        let refused = loop {
            match sqlite::Connection::open(label) {
                Ok(database) => databases.push(database),
                Err(error) => break error,
            }
        };
        let mut stores = Vec::new();
        let full = loop {
            match Store::open(label) {
                Ok(store) => stores.push(store),
                Err(error) => break error,
            }
        };
        format!("{} databases, then {refused:?}\n{} stores, then {full:?}\n", databases.len(), stores.len())
    }
}
