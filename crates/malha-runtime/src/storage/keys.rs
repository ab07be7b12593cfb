//! The key-value store: the table that Spin keeps it in (crates/key-value-spin/src/store.rs), so that a file of either is one
//! of the other.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Allowance, Failure, RESULT, Session, Storage};

/// Makes the table, if it is not there.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, VALUE)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS spin_key_value (
             store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)
         )",
    )
}

/// The largest value, with its key and its store.
const VALUE: i32 = 64 << 20;

/// The store of one label.
#[expect(unreachable_pub, reason = "bindings re-export what they have as a resource")]
pub struct Keys {
    session: Session,
    label: Arc<str>,
}

impl Keys {
    /// Opens the store, and its file if that is not open yet.
    pub(crate) async fn open(storage: &Arc<Storage>, label: &str, allowance: &Allowance) -> Result<Self, Failure> {
        let mut session = Session::keys(storage);
        session.run(allowance, |_| Ok(())).await?;
        Ok(Self { session, label: label.into() })
    }

    /// The value of a key.
    pub(crate) async fn get(&mut self, key: String, allowance: &Allowance) -> Result<Option<Vec<u8>>, Failure> {
        let label = Arc::clone(&self.label);
        let look = move |connection: &Connection| {
            connection
                .prepare("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .query_row(params![&*label, key], |row| row.get(0))
                .optional()
        };
        self.session.run(allowance, move |access| Ok(look(access.connection)?)).await
    }

    /// Whether a key has a value.
    pub(crate) async fn exists(&mut self, key: String, allowance: &Allowance) -> Result<bool, Failure> {
        let label = Arc::clone(&self.label);
        let look = move |connection: &Connection| {
            connection
                .prepare("SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .exists(params![&*label, key])
        };
        self.session.run(allowance, move |access| Ok(look(access.connection)?)).await
    }

    /// Gives a key a value.
    pub(crate) async fn set(&mut self, key: String, value: Vec<u8>, allowance: &Allowance) -> Result<(), Failure> {
        let label = Arc::clone(&self.label);
        let write = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (store, key) DO UPDATE SET value = ?3",
                params![&*label, key, value],
            )
        };
        self.session.run(allowance, move |access| Ok(write(access.connection).map(drop)?)).await
    }

    /// Takes a key's value away, if it has one.
    pub(crate) async fn delete(&mut self, key: String, allowance: &Allowance) -> Result<(), Failure> {
        let label = Arc::clone(&self.label);
        let write = move |connection: &Connection| {
            connection.execute("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2", params![&*label, key])
        };
        self.session.run(allowance, move |access| Ok(write(access.connection).map(drop)?)).await
    }

    /// All keys.
    pub(crate) async fn list(&mut self, allowance: &Allowance) -> Result<Vec<String>, Failure> {
        let label = Arc::clone(&self.label);
        let look = move |connection: &Connection| {
            let mut statement = connection.prepare("SELECT key FROM spin_key_value WHERE store = ?1")?;
            let mut rows = statement.query(params![&*label])?;
            let (mut keys, mut size) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                size += (size_of::<String>() + key.len()) as u64;
                if size > RESULT {
                    return Err(Failure::TooLarge(RESULT));
                }
                keys.push(key);
            }
            Ok(keys)
        };
        self.session.run(allowance, move |access| look(access.connection)).await
    }
}
