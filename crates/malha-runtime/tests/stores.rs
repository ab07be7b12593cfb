//! Spin's SQLite and key-value stores, as a guest sees them.
//!
//! The guest is `components/stores`, which does what a request tells it, through the Spin SDK.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use malha_manifest::spin::read_spin;
use malha_runtime::{
    App, Body, CallError, Caller, Engine, Images, Inbound, Outbound, Pod, PodLimits, PodOptions, StateFolder,
};
use malha_world::World;
use tokio::time::Instant;

/// One engine and one build for all tests of this process.
static ENGINE: LazyLock<(Engine, Images)> = LazyLock::new(|| support::built("stores"));

fn app() -> App {
    let (engine, images) = &*ENGINE;
    images.load(engine, "stores:0.0.1").unwrap()
}

struct Nobody;

impl Outbound for Nobody {
    fn call(
        &self,
        _: Caller,
        _: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Body>, CallError>> + Send>> {
        Box::pin(async { Err(CallError::DestinationNotFound) })
    }
}

fn start(app: &App, state: StateFolder, seed: u64) -> Result<Pod, malha_runtime::PodError> {
    let world = World::simulated(1_000_000, seed);
    let options = PodOptions {
        name: "stores",
        namespace: "default",
        environment: &[],
        world,
        outbound: Arc::new(Nobody),
        limits: PodLimits::default(),
        state,
    };
    Pod::start(&ENGINE.0, app, options)
}

fn pod() -> Pod {
    pod_at(StateFolder::Temporary)
}

fn pod_at(state: StateFolder) -> Pod {
    start(&app(), state, 7).unwrap()
}

async fn send(pod: &Pod, path: &str, label: &str, script: &str) -> Response<Body> {
    let request = Request::post(path).header("host", "stores").header("x-label", label);
    let request = request.body(script.to_owned().into()).unwrap();
    pod.answer(Inbound { request, depth: 0, peer: SocketAddr::from(([127, 0, 0, 6], 0)) }).await.unwrap()
}

/// What the guest answers to a script for the store `default`.
async fn run(pod: &Pod, path: &str, script: &str) -> String {
    let response = send(pod, path, "default", script).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{}", log(pod));
    String::from_utf8(body.to_vec()).unwrap()
}

async fn sql(pod: &Pod, script: &str) -> String {
    run(pod, "/sqlite", script).await
}

fn log(pod: &Pod) -> String {
    pod.logs().lines().iter().map(|line| line.text.to_string() + "\n").collect()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folders").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[tokio::test]
async fn statements_give_columns_and_rows_of_all_types() {
    let script = "CREATE TABLE t (a INTEGER PRIMARY KEY, b, c, d, e)
INSERT INTO t (b, c, d, e) VALUES (1.5, 'text', x'0102', NULL)
SELECT * FROM t
SELECT count(*) AS many FROM t WHERE a > 1";
    assert_eq!(
        sql(&pod(), script).await,
        r#"[]
[]
["a", "b", "c", "d", "e"] [Integer(1), Real(1.5), Text("text"), Blob([1, 2]), Null]
["many"] [Integer(0)]
"#
    );
}

#[tokio::test]
async fn the_third_version_has_parameters_rows_and_changes() {
    let script = "CREATE TABLE t (a, b)
INSERT INTO t VALUES (?, ?)
INSERT INTO t VALUES (?, 3), ('second', 4)
DELETE FROM t WHERE a = ?";
    assert_eq!(
        run(&pod(), "/sqlite3", script).await,
        "[] (row 0, 0 changed)\n[] (row 1, 1 changed)\n[] (row 3, 2 changed)\n[] (row 3, 2 changed)\n"
    );
}

#[tokio::test]
async fn errors_are_those_of_spin() {
    let pod = pod();
    for (path, label, script, want) in [
        ("/sqlite", "other", "", "cannot open: Error::AccessDenied\n"),
        ("/sqlite3", "other", "", "cannot open: Error::AccessDenied\n"),
        ("/keys", "other", "", "cannot open: Error::AccessDenied\n"),
        (
            "/sqlite",
            "default",
            "SELECT 1 + nowhere",
            "Error::Io(\"no such column: nowhere in SELECT 1 + nowhere at offset 11\")\n",
        ),
        (
            "/sqlite",
            "default",
            "SELECT ?",
            "Error::Io(\"Wrong number of parameters passed to query. Got 0, needed 1\")\n",
        ),
        // Only the first statement of a text is carried out.
        ("/sqlite", "default", "SELECT 1; SELECT 2", "[\"1\"] [Integer(1)]\n"),
    ] {
        let body = send(&pod, path, label, script).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&body), want, "{path} {label} {script}");
    }
}

#[tokio::test]
async fn keys_have_values_until_they_are_deleted() {
    let script = "get a
set a one two
get a
set a three
exists a
list
delete a
delete a
exists a
list";
    assert_eq!(
        run(&pod(), "/keys", script).await,
        "None\nset\nSome(\"one two\")\nset\ntrue\n[\"a\"]\ndeleted\ndeleted\nfalse\n[]\n"
    );
}

#[tokio::test]
async fn what_is_in_a_folder_outlives_the_pod_and_is_in_the_files_of_spin() {
    let folder = folder("outlives");
    let first = pod_at(StateFolder::At(folder.clone()));
    sql(&first, "CREATE TABLE t (a)\nINSERT INTO t VALUES (7)").await;
    run(&first, "/keys", "set a b").await;
    first.stop();
    drop(first);
    let second = pod_at(StateFolder::At(folder.clone()));
    assert_eq!(sql(&second, "SELECT a FROM t").await, "[\"a\"] [Integer(7)]\n");
    assert_eq!(run(&second, "/keys", "get a").await, "Some(\"b\")\n");
    assert!(folder.join("sqlite_db.db").is_file() && folder.join("sqlite_key_value.db").is_file());
    // Without a folder each pod has its own, and nobody else's.
    assert!(sql(&pod(), "SELECT a FROM t").await.contains("no such table"));
}

#[tokio::test]
async fn a_file_system_that_is_read_only_opens_no_store() {
    let pod = pod_at(StateFolder::ReadOnly);
    assert_eq!(sql(&pod, "SELECT 1").await, "Error::Io(\"unable to open database file: /.spin/sqlite_db.db\")\n");
    let keys = run(&pod, "/keys", "list").await;
    assert!(keys.starts_with("cannot open: Error::Other(") && keys.contains("/.spin/sqlite_key_value.db"), "{keys}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_its_own_connections_and_others_wait_for_it() {
    let pod = pod();
    sql(&pod, "CREATE TABLE t (a)").await;
    let long = tokio::spawn({
        let pod = pod.clone();
        async move { sql(&pod, "BEGIN IMMEDIATE\nINSERT INTO t VALUES (1)\nsleep 2000\nCOMMIT").await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Readers do not wait, and do not see what is not committed.
    assert_eq!(sql(&pod, "SELECT count(*) AS n FROM t").await, "[\"n\"] [Integer(0)]\n");
    let before = Instant::now();
    assert_eq!(sql(&pod, "INSERT INTO t VALUES (2)").await, "[]\n");
    assert!((1_400..2_000).contains(&before.elapsed().as_millis()), "{:?}", before.elapsed());
    assert_eq!(long.await.unwrap(), "[]\n[]\nslept\n[]\n");
    assert_eq!(sql(&pod, "SELECT count(*) AS n FROM t").await, "[\"n\"] [Integer(2)]\n");

    // Nobody waits for more than five seconds.
    let endless = tokio::spawn({
        let pod = pod.clone();
        async move { sql(&pod, "BEGIN IMMEDIATE\nINSERT INTO t VALUES (3)\nsleep 9000").await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    assert_eq!(sql(&pod, "INSERT INTO t VALUES (4)").await, "Error::Io(\"database is locked\")\n");
    assert!((5_000..5_200).contains(&before.elapsed().as_millis()), "{:?}", before.elapsed());
    // Its guest ends without a COMMIT: nothing of it stays, and the database is free.
    endless.await.unwrap();
    assert_eq!(sql(&pod, "SELECT count(*) AS n FROM t").await, "[\"n\"] [Integer(2)]\n");
}

#[tokio::test]
async fn an_endless_query_costs_its_own_request() {
    let pod = pod();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let response = send(&pod, "/sqlite", "default", endless).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log(&pod).contains("more than 250ms of CPU time"), "{}", log(&pod));
    assert_eq!(sql(&pod, "SELECT 1").await, "[\"1\"] [Integer(1)]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_stopped_does_not_leave_its_queries_running() {
    let folder = folder("stopped");
    let pod = pod_at(StateFolder::At(folder.clone()));
    sql(&pod, "CREATE TABLE t (a)").await;
    // It holds the lock, and would for as long as its time on the CPU lasts; nobody waits for it.
    let endless = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let asked = tokio::spawn({
        let pod = pod.clone();
        async move { drop(send(&pod, "/sqlite", "default", endless).await) }
    });
    tokio::task::yield_now().await;
    pod.stop();
    asked.abort();
    drop(asked.await);
    drop(pod);
    let next = pod_at(StateFolder::At(folder));
    assert_eq!(sql(&next, "INSERT INTO t VALUES (1)\nSELECT count(*) AS n FROM t").await, "[]\n[\"n\"] [Integer(1)]\n");
}

#[tokio::test]
async fn sql_reaches_nothing_but_its_database() {
    let folder = folder("reach");
    std::fs::create_dir_all(&folder).unwrap();
    let pod = pod_at(StateFolder::At(folder.join("own")));
    sql(&pod, "CREATE TABLE t (a)").await;
    let other = folder.join("other.db");
    for statement in [
        format!("ATTACH '{}' AS other", other.display()),
        "ATTACH ':memory:' AS other".to_owned(),
        "ATTACH '' AS other".to_owned(),
        format!("ATTACH ('{}' || '') AS other", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
        "SELECT load_extension('libm.so.6')".to_owned(),
        "PRAGMA database_list".to_owned(),
        "SELECT * FROM pragma_database_list".to_owned(),
        "PRAGMA temp_store_directory = '/'".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "CREATE VIRTUAL TABLE v USING dbstat".to_owned(),
    ] {
        let answer = sql(&pod, &statement).await;
        assert!(answer.contains("not authorized") || answer.contains("authorization denied"), "{statement}: {answer}");
    }
    assert!(!other.exists());
    for (statement, want) in [
        // How the host keeps the database is the host's.
        ("PRAGMA max_page_count = 4000000000\nPRAGMA max_page_count", "[]\n[\"max_page_count\"] [Integer(262144)]\n"),
        ("PRAGMA journal_mode = DELETE\nPRAGMA journal_mode", "[]\n[\"journal_mode\"] [Text(\"wal\")]\n"),
        ("PRAGMA busy_timeout = 9999999", "[]\n"),
        ("PRAGMA hard_heap_limit", "[\"hard_heap_limit\"] [Integer(1073741824)]\n"),
        // The database itself is the guest's.
        ("PRAGMA user_version = 3\nPRAGMA user_version", "[]\n[\"user_version\"] [Integer(3)]\n"),
        ("VACUUM", "[]\n"),
        ("CREATE VIRTUAL TABLE words USING fts5(text)", "[]\n"),
    ] {
        assert_eq!(sql(&pod, statement).await, want, "{statement}");
    }
}

#[tokio::test]
async fn what_a_guest_can_make_grow_has_an_end() {
    let pod = pod();
    for (statement, want) in [
        ("SELECT length(zeroblob(20000000))", "string or blob too big"),
        ("SELECT length(randomblob(20000000))", "string or blob too big"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT zeroblob(9000000) FROM n",
            "query result exceeds limit of 33554432 bytes",
        ),
    ] {
        let answer = sql(&pod, statement).await;
        assert!(answer.contains(want), "{statement}: {answer}");
    }
    assert_eq!(
        run(&pod, "/many", "").await,
        "256 databases, then Error::Io(\"too many connections opened\")\n256 stores, then Error::StoreTableFull\n"
    );
}

#[tokio::test]
async fn chance_in_sql_follows_from_the_seed() {
    let script = "SELECT random() AS a, hex(randomblob(8)) AS b, length(randomblob(0)) AS c\nSELECT random() AS a";
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        seen.push(sql(&start(&app(), StateFolder::Temporary, seed).unwrap(), script).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
    assert!(seen[0].contains("Integer(1)]"), "{}", seen[0]);
}

#[test]
fn a_label_that_there_is_not_stops_the_start() {
    let text = std::fs::read_to_string(support::project("stores").join("spin.toml")).unwrap();
    let wasm = |_: &str| support::project("stores").join("../../target/wasm32-wasip2/component/stores.wasm");
    drop(app());
    for (from, to, want) in [
        (
            "key_value_stores = [\"default\"]",
            "key_value_stores = [\"cache\"]",
            "unknown key_value_stores label \"cache\" for component \"stores\"",
        ),
        (
            "sqlite_databases = [\"default\"]",
            "sqlite_databases = [\"default\", \"orders\"]",
            "One or more components use SQLite databases which are not defined.\n- Component stores uses database 'orders'",
        ),
    ] {
        let (manifest, findings) = read_spin("spin.toml", &text.replace(from, to));
        let app = App::load(&ENGINE.0, manifest.unwrap_or_else(|| panic!("{findings:?}")), wasm).unwrap();
        let error = start(&app, StateFolder::Temporary, 7).err().unwrap().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}
