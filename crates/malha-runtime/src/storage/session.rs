//! One open database: work on it goes to a thread where blocking is allowed, and ends when nobody wants it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::{Open, Slot, Storage};
use crate::cpu::{Account, Meter, thread_time};

/// How long work waits for a database that somebody else has locked, and for a connection or a thread of its pod: the
/// `busy_timeout` that Spin's connections have.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between two looks at a locked database in milliseconds; the last one repeats. SQLite's own
/// (`sqliteDefaultBusyCallback`), but in tokio's time.
const PAUSES: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 1_000;

/// What a request may still use, and who pays for it.
pub(crate) struct Allowance {
    pub(crate) meter: Arc<Meter>,
    pub(crate) account: Arc<Account>,
    /// Time on the CPU that one request may use in one guest.
    pub(crate) limit: Duration,
}

/// Why work on a database has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite's reason.
    Sqlite(rusqlite::Error),
    /// The result has more bytes than this.
    TooLarge(u64),
    /// A text that is no UTF-8, so that no guest could take it.
    NoText,
    /// The pod has as many connections as it may.
    TooManyConnections,
    /// The request has used up its time on the CPU.
    OutOfCpuTime,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// Whether the same may succeed once somebody else has finished. Where a transaction has read what is no longer so,
    /// waiting does not help.
    fn passes(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == ErrorCode::DatabaseBusy && error.extended_code != rusqlite::ffi::SQLITE_BUSY_SNAPSHOT
    }

    fn is_interruption(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }
}

/// A database that a guest has opened. Its file is opened when it is used, as in Spin.
#[expect(unreachable_pub, reason = "bindings re-export what they have as a resource")]
pub struct Session {
    storage: Arc<Storage>,
    slot: Slot,
    how: How,
}

enum How {
    /// A connection of its own, which has its place among the pod's once it is open.
    Sqlite { seed: u64, place: Option<OwnedSemaphorePermit> },
    /// The pod's connection to its keys.
    Keys,
}

impl Session {
    /// For a guest's SQL; the chance of the session follows from `seed`.
    pub(crate) fn sqlite(storage: &Arc<Storage>, seed: u64) -> Self {
        Self { storage: Arc::clone(storage), slot: Slot::default(), how: How::Sqlite { seed, place: None } }
    }

    /// For the key-value stores.
    pub(super) fn keys(storage: &Arc<Storage>) -> Self {
        Self { storage: Arc::clone(storage), slot: Arc::clone(&storage.keys), how: How::Keys }
    }

    /// The row of the last `INSERT`, or 0.
    pub(crate) async fn last_insert_rowid(&mut self, allowance: &Allowance) -> Result<i64, Failure> {
        self.run(allowance, |access| Ok(access.connection.last_insert_rowid())).await
    }

    /// The number of rows that the last statement changed.
    pub(crate) async fn changes(&mut self, allowance: &Allowance) -> Result<u64, Failure> {
        self.run(allowance, |access| Ok(access.connection.changes())).await
    }

    /// Carries out `work`, again and again while the database is locked by somebody else, but not for longer than
    /// [`PATIENCE`]. Work is interrupted when its caller goes away or has used up its allowance.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        allowance: &Allowance,
        mut work: impl FnMut(&Access<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let patience = Instant::now() + PATIENCE;
        self.take_place().await?;
        let mut pauses = PAUSES.into_iter();
        loop {
            let thread = Arc::clone(&self.storage.threads).acquire_owned().await;
            let abandoned = Abandoned::default();
            let seen = Arc::clone(&abandoned.0);
            let left = allowance.limit.saturating_sub(allowance.meter.used());
            let (slot, open) = (Arc::clone(&self.slot), self.opener());
            let done = spawn_blocking(move || {
                let _thread = thread;
                let start = thread_time();
                let used = move || thread_time().saturating_sub(start);
                let mut result = attempt(&slot, open, &mut work, move || seen.load(Ordering::Relaxed) || used() > left);
                if used() > left && result.as_ref().is_err_and(Failure::is_interruption) {
                    result = Err(Failure::OutOfCpuTime);
                }
                (work, result, used())
            });
            let (again, result, used) =
                done.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            allowance.meter.charge(used);
            allowance.account.charge_measured(used);
            match result {
                Err(failure) if failure.passes() && Instant::now() < patience => {
                    let pause = pauses.next().unwrap_or(PAUSES[PAUSES.len() - 1]);
                    sleep(Duration::from_millis(pause)).await;
                    work = again;
                }
                result => return result,
            }
        }
    }

    async fn take_place(&mut self) -> Result<(), Failure> {
        if let How::Sqlite { place: place @ None, .. } = &mut self.how {
            let free = timeout(PATIENCE, Arc::clone(&self.storage.connections).acquire_owned()).await;
            *place = Some(free.ok().and_then(Result::ok).ok_or(Failure::TooManyConnections)?);
        }
        Ok(())
    }

    fn opener(&self) -> impl FnOnce() -> rusqlite::Result<Open> + Send + 'static {
        let storage = Arc::clone(&self.storage);
        let seed = match self.how {
            How::Sqlite { seed, .. } => Some(seed),
            How::Keys => None,
        };
        move || match seed {
            Some(seed) => storage.open_sqlite(seed),
            None => storage.open_keys(),
        }
    }
}

/// A connection while somebody works with it.
pub(super) struct Access<'a> {
    pub(super) connection: &'a Connection,
    phase: &'a super::Phase,
}

impl Access<'_> {
    /// From now on the statement is carried out.
    pub(super) fn carry_out(&self) {
        self.phase.carry_out(true);
    }
}

fn attempt<T>(
    slot: &Slot,
    open: impl FnOnce() -> rusqlite::Result<Open>,
    work: &mut impl FnMut(&Access<'_>) -> Result<T, Failure>,
    interrupt: impl FnMut() -> bool + Send + 'static,
) -> Result<T, Failure> {
    let mut slot = slot.lock();
    if slot.is_none() {
        *slot = Some(open()?);
    }
    let Some(Open { connection, phase }) = slot.as_mut() else { unreachable!("it was opened above") };
    connection.progress_handler(STEPS, Some(interrupt))?;
    let result = work(&Access { connection, phase });
    phase.carry_out(false);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    result
}

/// Told to whoever works when nobody waits for the result any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
