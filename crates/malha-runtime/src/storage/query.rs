//! One statement, as Spin carries it out (crates/sqlite-inproc/src/lib.rs): the first one of its text, with its parameters
//! by position.

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Batch, params_from_iter};

use super::session::Access;
use super::{Allowance, Failure, Session};

/// What a statement gives.
#[derive(Debug, PartialEq)]
pub(crate) struct QueryResult {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Carries out a statement; its result has at most `limit` bytes.
pub(crate) async fn execute(
    session: &mut Session,
    allowance: &Allowance,
    statement: String,
    parameters: Vec<Value>,
    limit: u64,
) -> Result<QueryResult, Failure> {
    session.run(allowance, move |access| query(access, &statement, &parameters, limit)).await
}

fn query(access: &Access<'_>, text: &str, parameters: &[Value], limit: u64) -> Result<QueryResult, Failure> {
    let Some(mut statement) = Batch::new(access.connection, text).next()? else {
        let misuse = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_MISUSE);
        return Err(rusqlite::Error::SqliteFailure(misuse, Some("there is no statement".to_owned())).into());
    };
    access.carry_out();
    let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let mut found = statement.query(params_from_iter(parameters))?;
    let mut rows = Vec::new();
    let mut size = 0;
    while let Some(row) = found.next()? {
        size += size_of::<Vec<Value>>() as u64;
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = row.get_ref(column)?;
            size += size_of::<Value>() as u64 + bytes(value);
            // Before it is copied.
            if size > limit {
                return Err(Failure::TooLarge(limit));
            }
            values.push(Value::try_from(value).map_err(|_| Failure::NoText)?);
        }
        rows.push(values);
    }
    Ok(QueryResult { columns, rows })
}

fn bytes(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}
