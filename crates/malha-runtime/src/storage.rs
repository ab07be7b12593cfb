//! The databases of a pod: Spin's SQLite and its key-value stores, in the files in which Spin 3.6 has them.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `session` | one open database: on which thread it works, how long, who waits for whom |
//! | `query` | one statement: its parameters, its rows, its errors |
//! | `keys` | the key-value store |
//! | `policy` | what the SQL of a guest may reach |
//!
//! As in Spin, each handle that a guest opens is a connection of its own: a transaction, a temporary table and
//! `last_insert_rowid()` are nobody else's. Key-value stores share one connection, since no guest can leave it in a state.

mod keys;
mod policy;
mod query;
mod session;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::sync::Semaphore;

#[expect(unreachable_pub, reason = "bindings re-export what they have as a resource")]
pub use self::keys::Keys;
pub(crate) use self::query::{QueryResult, execute};
#[expect(unreachable_pub, reason = "bindings re-export what they have as a resource")]
pub use self::session::Session;
pub(crate) use self::session::{Allowance, Failure};

use self::policy::Phase;

/// The label that Spin knows without a runtime configuration.
pub(crate) const DEFAULT: &str = "default";

/// The most bytes of one result: Spin's `MAX_HOST_BUFFERED_BYTES`.
pub(crate) const RESULT: u64 = 128 << 20;

/// Handles of each kind that one guest may hold: Spin's `InstanceState` has the same number for SQLite.
pub(crate) const HANDLES: usize = 256;

/// Connections that the guests of a pod may have open together; each is three files of the process.
const CONNECTIONS: usize = 32;

/// Threads that a pod's databases may keep busy.
const THREADS: usize = 8;

/// The largest text, blob or row that SQL can make.
const LENGTH: i32 = 16 << 20;

/// The longest statement.
const STATEMENT: i32 = 1 << 20;

/// The most pages of a database: 1 GiB, as a page has 4 KiB.
const PAGES: u32 = 1 << 18;

/// Bytes that all databases of the process may hold in memory together.
const HEAP: i64 = 1 << 30;

/// Bytes that the log of changes keeps on the disk when it is empty.
const LOG: u32 = 64 << 20;

/// What a container finds at `/.spin`, where Spin keeps its databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateFolder {
    /// Its own file system: a folder that nobody else sees and that goes with the pod.
    #[default]
    Temporary,
    /// A volume: this folder, which is made if it is not there.
    At(PathBuf),
    /// A file system that cannot be written to.
    ReadOnly,
}

/// One of the files in that folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Sqlite,
    KeyValue,
}

impl File {
    /// Its name, which is Spin's.
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite_db.db",
            Self::KeyValue => "sqlite_key_value.db",
        }
    }
}

/// The databases of one pod.
pub(crate) struct Storage {
    state: StateFolder,
    temporary: Mutex<Option<TempDir>>,
    /// What keeps the log of `sqlite_db.db` alive: whoever closes a database last writes all of its log back.
    keeper: Mutex<Option<Connection>>,
    /// The connection that all key-value stores share.
    keys: Slot,
    connections: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// A connection, once there is one. Whoever works with it does so on a thread where blocking is allowed.
type Slot = Arc<Mutex<Option<Open>>>;

/// An open database.
struct Open {
    connection: Connection,
    phase: Arc<Phase>,
}

impl Storage {
    pub(crate) fn new(state: StateFolder) -> Self {
        Self {
            state,
            temporary: Mutex::default(),
            keeper: Mutex::default(),
            keys: Slot::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            threads: Arc::new(Semaphore::new(THREADS)),
        }
    }

    /// Opens a database for a guest's SQL, whose `random()` follows from `seed`.
    fn open_sqlite(&self, seed: u64) -> rusqlite::Result<Open> {
        let mut keeper = self.keeper.lock();
        if keeper.is_none() {
            *keeper = Some(self.open(File::Sqlite)?);
        }
        let mut connection = self.open(File::Sqlite)?;
        let phase = policy::enforce(&mut connection, seed)?;
        Ok(Open { connection, phase })
    }

    fn open_keys(&self) -> rusqlite::Result<Open> {
        let connection = self.open(File::KeyValue)?;
        keys::prepare(&connection)?;
        Ok(Open { connection, phase: Arc::default() })
    }

    fn open(&self, file: File) -> rusqlite::Result<Connection> {
        let path = self.folder().map_err(|_| cannot_open(file))?.join(file.name());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // What SQLite says would name a folder of the host.
        let connection = Connection::open_with_flags(path, flags).map_err(|_| cannot_open(file))?;
        configure(&connection)?;
        Ok(connection)
    }

    fn folder(&self) -> io::Result<PathBuf> {
        match &self.state {
            StateFolder::At(folder) => create_private(folder).map(|()| folder.clone()),
            StateFolder::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            StateFolder::Temporary => {
                let mut temporary = self.temporary.lock();
                if temporary.is_none() {
                    *temporary = Some(TempDir::with_prefix("malha-")?);
                }
                temporary.as_ref().map(|folder| folder.path().to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }
}

fn cannot_open(file: File) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(format!("unable to open database file: /.spin/{}", file.name())))
}

/// Sets what malha decides about every database. Waiting for others is no matter of SQLite's, which would sleep on a
/// thread: see [`Session::run`].
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "hard_heap_limit", HEAP)?;
    // Readers and a writer do not hold each other up, and a change is on the disk without waiting for it: it survives the
    // process, and a database is whole even after a power cut.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "journal_size_limit", LOG)?;
    connection.pragma_update(None, "max_page_count", PAGES)
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}
