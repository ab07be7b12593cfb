//! `fermyon:spin/sqlite@2.0.0`, which is `spin_sdk::sqlite`, and `spin:sqlite/sqlite@3.0.0`, which is `spin_sdk::sqlite3`.

use rand::Rng;
use rusqlite::ErrorCode;
use rusqlite::types::Value as Cell;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::Guest;
use crate::guest::OutOfCpuTime;
use crate::storage::{self, DEFAULT, Failure, HANDLES, QueryResult, RESULT, Session};

wasmtime::component::bindgen!({
    inline: "
        package malha:host;

        world sqlite-host {
            import fermyon:spin/sqlite@2.0.0;
            import spin:sqlite/sqlite@3.0.0;
        }

        package fermyon:spin@2.0.0 {
            interface sqlite {
                resource connection {
                    open: static func(database: string) -> result<connection, error>;
                    execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                }
                variant error { no-such-database, access-denied, invalid-connection, database-full, io(string) }
                record query-result { columns: list<string>, rows: list<row-result> }
                record row-result { values: list<value> }
                variant value { integer(s64), real(f64), text(string), blob(list<u8>), null }
            }
        }

        package spin:sqlite@3.0.0 {
            interface sqlite {
                resource connection {
                    open: static func(database: string) -> result<connection, error>;
                    execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                    last-insert-rowid: func() -> s64;
                    changes: func() -> u64;
                }
                variant error { no-such-database, access-denied, invalid-connection, database-full, io(string) }
                record query-result { columns: list<string>, rows: list<row-result> }
                record row-result { values: list<value> }
                variant value { integer(s64), real(f64), text(string), blob(list<u8>), null }
            }
        }
    ",
    world: "sqlite-host",
    imports: { default: async | trappable },
    with: {
        "fermyon:spin/sqlite.connection": crate::storage::Session,
        "spin:sqlite/sqlite.connection": crate::storage::Session,
    },
});

use self::fermyon::spin::sqlite as v2;
use self::spin::sqlite::sqlite as v3;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    v2::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    v3::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// A database as a guest holds it.
type Handle = Resource<Session>;

/// Why a guest does not get what it asked for.
enum Refusal {
    AccessDenied,
    NoSuchDatabase,
    DatabaseFull,
    Io(String),
}

impl Guest {
    fn open_database(&mut self, label: &str) -> wasmtime::Result<Result<Handle, Refusal>> {
        if !self.component.sqlite_databases.iter().any(|allowed| allowed == label) {
            return Ok(Err(Refusal::AccessDenied));
        }
        // A pod whose component lists another does not start.
        if label != DEFAULT {
            return Ok(Err(Refusal::NoSuchDatabase));
        }
        if self.databases == HANDLES {
            return Ok(Err(Refusal::Io("too many connections opened".to_owned())));
        }
        let session = Session::sqlite(&self.pod.storage, self.chance.next_u64());
        let handle = self.table.push(session)?;
        self.databases += 1;
        Ok(Ok(handle))
    }

    async fn execute(
        &mut self,
        database: &Handle,
        statement: String,
        parameters: Vec<Cell>,
    ) -> wasmtime::Result<Result<QueryResult, Refusal>> {
        let allowance = self.allowance();
        // What does not fit into the guest's memory cannot be handed over.
        let limit = RESULT.min(self.limits.memory);
        let session = self.table.get_mut(database)?;
        refuse(storage::execute(session, &allowance, statement, parameters, limit).await)
    }

    fn close_database(&mut self, database: Handle) -> wasmtime::Result<()> {
        self.table.delete(database)?;
        self.databases -= 1;
        Ok(())
    }
}

/// In the words of Spin's errors. A guest that has used up its time on the CPU is stopped.
fn refuse<T>(result: Result<T, Failure>) -> wasmtime::Result<Result<T, Refusal>> {
    Ok(Err(match result {
        Ok(value) => return Ok(Ok(value)),
        Err(Failure::OutOfCpuTime) => return Err(OutOfCpuTime.into()),
        Err(Failure::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Refusal::DatabaseFull,
        Err(Failure::Sqlite(error)) => Refusal::Io(error.to_string()),
        Err(Failure::TooLarge(limit)) => Refusal::Io(format!("query result exceeds limit of {limit} bytes")),
        Err(Failure::NoText) => Refusal::Io("a text in the result is not UTF-8".to_owned()),
        Err(Failure::TooManyConnections) => Refusal::Io("too many connections opened".to_owned()),
    }))
}

/// What both versions have, in the types of one.
macro_rules! version {
    ($version:ident, { $($more:item)* }) => {
        const _: () = {
            use $version::{Error, QueryResult, RowResult, Value};

            impl $version::Host for Guest {}

            impl $version::HostConnection for Guest {
                async fn open(&mut self, database: String) -> wasmtime::Result<Result<Handle, Error>> {
                    Ok(self.open_database(&database)?.map_err(error))
                }

                async fn execute(
                    &mut self,
                    database: Handle,
                    statement: String,
                    parameters: Vec<Value>,
                ) -> wasmtime::Result<Result<QueryResult, Error>> {
                    let parameters = parameters.into_iter().map(cell).collect();
                    let result = self.execute(&database, statement, parameters).await?;
                    Ok(result.map(written).map_err(error))
                }

                async fn drop(&mut self, database: Handle) -> wasmtime::Result<()> {
                    self.close_database(database)
                }

                $($more)*
            }

            fn error(refusal: Refusal) -> Error {
                match refusal {
                    Refusal::AccessDenied => Error::AccessDenied,
                    Refusal::NoSuchDatabase => Error::NoSuchDatabase,
                    Refusal::DatabaseFull => Error::DatabaseFull,
                    Refusal::Io(why) => Error::Io(why),
                }
            }

            fn cell(value: Value) -> Cell {
                match value {
                    Value::Integer(value) => Cell::Integer(value),
                    Value::Real(value) => Cell::Real(value),
                    Value::Text(value) => Cell::Text(value),
                    Value::Blob(value) => Cell::Blob(value),
                    Value::Null => Cell::Null,
                }
            }

            fn value(cell: Cell) -> Value {
                match cell {
                    Cell::Integer(value) => Value::Integer(value),
                    Cell::Real(value) => Value::Real(value),
                    Cell::Text(value) => Value::Text(value),
                    Cell::Blob(value) => Value::Blob(value),
                    Cell::Null => Value::Null,
                }
            }

            fn written(result: storage::QueryResult) -> QueryResult {
                let row = |cells: Vec<Cell>| RowResult { values: cells.into_iter().map(value).collect() };
                QueryResult { columns: result.columns, rows: result.rows.into_iter().map(row).collect() }
            }
        };
    };
}

version!(v2, {});
version!(v3, {
    async fn last_insert_rowid(&mut self, database: Handle) -> wasmtime::Result<i64> {
        let allowance = self.allowance();
        let id = self.table.get_mut(&database)?.last_insert_rowid(&allowance).await;
        refuse(id)?.map_err(|_| wasmtime::format_err!("the database cannot be opened"))
    }

    async fn changes(&mut self, database: Handle) -> wasmtime::Result<u64> {
        let allowance = self.allowance();
        let changes = self.table.get_mut(&database)?.changes(&allowance).await;
        refuse(changes)?.map_err(|_| wasmtime::format_err!("the database cannot be opened"))
    }
});
