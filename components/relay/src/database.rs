//! The shows that a link keeps in Spin's SQLite: their table is made by migrations that the component brings along.

use serde_json::value::RawValue;

/// Statements, each carried out once in the life of a database, in this order. A name never changes its statement: a change
/// is another migration.
const MIGRATIONS: [(&str, &str); 2] = [
    ("0001_tv_show", include_str!("../migrations/0001_tv_show.sql")),
    ("0002_first_shows", include_str!("../migrations/0002_first_shows.sql")),
];

/// A show as JSON, whichever chance picks.
const ANY_SHOW: &str =
    "SELECT json_object('id', id, 'name', name, 'score', score, 'year', year) FROM tv_show ORDER BY random() LIMIT 1";

/// An open database.
pub trait Database {
    /// Carries out one statement, `?` standing for a parameter each; what comes back is the first column of each row, which
    /// is text.
    ///
    /// # Errors
    /// Why not, for the log.
    fn execute(&self, statement: &str, parameters: &[&str]) -> Result<Vec<String>, String>;
}

/// Some show, as JSON.
///
/// # Errors
/// Why there is none, for the log.
pub(crate) fn any_show(database: &impl Database) -> Result<Box<RawValue>, String> {
    migrate(database)?;
    let show = database.execute(ANY_SHOW, &[])?.pop().ok_or("tv_show has no rows")?;
    RawValue::from_string(show).map_err(|error| error.to_string())
}

/// Carries out what is left to do. Instances that begin at the same time wait for each other's lock, and look again behind
/// it; once all is done nobody needs one.
fn migrate(database: &impl Database) -> Result<(), String> {
    database.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY)", &[])?;
    if left_to_do(database)?.is_empty() {
        return Ok(());
    }
    database.execute("BEGIN IMMEDIATE", &[])?;
    match carry_out(database) {
        Ok(()) => database.execute("COMMIT", &[]).map(drop),
        Err(reason) => {
            database.execute("ROLLBACK", &[])?;
            Err(reason)
        }
    }
}

fn carry_out(database: &impl Database) -> Result<(), String> {
    for (name, statement) in left_to_do(database)? {
        database.execute(statement, &[]).map_err(|reason| format!("migration {name}: {reason}"))?;
        database.execute("INSERT INTO migration (name) VALUES (?)", &[name])?;
    }
    Ok(())
}

fn left_to_do(database: &impl Database) -> Result<Vec<(&'static str, &'static str)>, String> {
    let done = database.execute("SELECT name FROM migration", &[])?;
    Ok(MIGRATIONS.into_iter().filter(|(name, _)| !done.iter().any(|known| known == name)).collect())
}

/// The database of the component.
///
/// # Errors
/// Why it cannot be opened, for the log.
#[cfg(target_family = "wasm")]
pub(crate) fn open() -> Result<spin_sdk::sqlite::Connection, String> {
    spin_sdk::sqlite::Connection::open_default().map_err(|error| error.to_string())
}

#[cfg(target_family = "wasm")]
impl Database for spin_sdk::sqlite::Connection {
    fn execute(&self, statement: &str, parameters: &[&str]) -> Result<Vec<String>, String> {
        use spin_sdk::sqlite::Value;

        let parameters: Vec<_> = parameters.iter().map(|text| Value::Text((*text).to_owned())).collect();
        let result = self.execute(statement, &parameters).map_err(|error| error.to_string())?;
        let first = |row: spin_sdk::sqlite::RowResult| match row.values.into_iter().next() {
            Some(Value::Text(text)) => Ok(text),
            other => Err(format!("a text was expected in the first column, not {other:?}")),
        };
        result.rows.into_iter().map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use rusqlite::{Connection, params_from_iter};
    use serde_json::Value;

    use super::*;

    impl Database for Connection {
        fn execute(&self, statement: &str, parameters: &[&str]) -> Result<Vec<String>, String> {
            let rows = || {
                let mut statement = self.prepare(statement)?;
                let rows = statement.query_map(params_from_iter(parameters), |row| row.get(0))?;
                rows.collect::<rusqlite::Result<Vec<String>>>()
            };
            rows().map_err(|error| error.to_string())
        }
    }

    fn count(database: &Connection, table: &str) -> u32 {
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_first_request_makes_the_table_and_the_others_find_it() {
        let database = Connection::open_in_memory().unwrap();
        for _ in 0..3 {
            let show: Value = serde_json::from_str(any_show(&database).unwrap().get()).unwrap();
            assert!(show["id"].is_u64() && show["name"].is_string(), "{show}");
            assert!(show["score"].is_f64() && show["year"].is_u64(), "{show}");
        }
        assert_eq!((count(&database, "tv_show"), count(&database, "migration")), (10, 2));
    }

    #[test]
    fn every_show_comes_some_time() {
        let database = Connection::open_in_memory().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        // Of ten, one is missing after 500 draws once in 10^22.
        for _ in 0..500 {
            seen.insert(any_show(&database).unwrap().get().to_owned());
        }
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn what_users_changed_stays() {
        let database = Connection::open_in_memory().unwrap();
        any_show(&database).unwrap();
        Database::execute(&database, "DELETE FROM tv_show WHERE id > 1", &[]).unwrap();
        any_show(&database).unwrap();
        assert_eq!(count(&database, "tv_show"), 1);
        Database::execute(&database, "DELETE FROM tv_show", &[]).unwrap();
        assert_eq!(any_show(&database).unwrap_err(), "tv_show has no rows");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let database = Connection::open_in_memory().unwrap();
        // In the way of the second migration.
        Database::execute(&database, "CREATE TABLE tv_show (id INTEGER)", &[]).unwrap();
        let reason = any_show(&database).unwrap_err();
        assert!(reason.starts_with("migration 0001_tv_show: ") && reason.contains("already exists"), "{reason}");
        assert_eq!(count(&database, "migration"), 0);
        // The lock is gone: another may try.
        Database::execute(&database, "DROP TABLE tv_show", &[]).unwrap();
        any_show(&database).unwrap();
    }

    #[test]
    fn many_that_start_at_once_carry_out_each_migration_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let start = Barrier::new(8);
        let work = || {
            let database = Connection::open(&path).unwrap();
            // As Spin's connections have it.
            database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            start.wait();
            any_show(&database).map(drop)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(results, vec![Ok(()); 8]);
        assert_eq!(count(&Connection::open(&path).unwrap(), "tv_show"), 10);
    }
}
