//! What the SQL of a guest may reach: its own database, and nothing else of the host.
//!
//! SQLite asks an authorizer about everything that a statement does while it is compiled
//! (<https://sqlite.org/c3ref/set_authorizer.html>).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::hooks::{AuthAction, Authorization};

use super::LENGTH;

/// Pragmas about the database itself, which a guest may read and set.
const OPEN: &[&str] = &[
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "case_sensitive_like",
    "cell_size_check",
    "collation_list",
    "compile_options",
    "data_version",
    "defer_foreign_keys",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "ignore_check_constraints",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "query_only",
    "quick_check",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

/// Pragmas about how the host keeps the database. Applications tune them for Spin, so that setting them is no error; it
/// does nothing, as malha has its own way. Some would undo a limit.
const TUNING: &[&str] = &[
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "checkpoint_fullfsync",
    "fullfsync",
    "hard_heap_limit",
    "journal_mode",
    "journal_size_limit",
    "locking_mode",
    "max_page_count",
    "mmap_size",
    "page_size",
    "soft_heap_limit",
    "synchronous",
    "temp_store",
    "threads",
    "wal_autocheckpoint",
];

/// Modules for virtual tables. The others of SQLite's show what is behind a database.
const MODULES: &[&str] = &["fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "rtree", "rtree_i32"];

/// Whether a statement is compiled or carried out. `VACUUM` attaches a temporary database of its own when it is carried out;
/// an `ATTACH` of the guest's is seen when it is compiled.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicBool);

impl Phase {
    pub(super) fn carry_out(&self, yes: bool) {
        self.0.store(yes, Ordering::Relaxed);
    }

    fn is_carried_out(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Puts the connection under this policy, and gives it a chance that follows from `seed`.
pub(super) fn enforce(connection: &mut Connection, seed: u64) -> rusqlite::Result<Arc<Phase>> {
    let phase = Arc::<Phase>::default();
    let judged = Arc::clone(&phase);
    chance(connection, seed)?;
    connection.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| judge(&context.action, &judged)))?;
    Ok(phase)
}

fn judge(action: &AuthAction<'_>, phase: &Phase) -> Authorization {
    let is_in = |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let allowed = match action {
        AuthAction::Unknown { .. } => false,
        AuthAction::Attach { filename } => filename.is_empty() && phase.is_carried_out(),
        AuthAction::Function { function_name } => !is_in(&["load_extension"], function_name),
        AuthAction::CreateVtable { module_name, .. } => is_in(MODULES, module_name),
        AuthAction::Pragma { pragma_name, pragma_value } if is_in(TUNING, pragma_name) => {
            return if pragma_value.is_some() { Authorization::Ignore } else { Authorization::Allow };
        }
        AuthAction::Pragma { pragma_name, .. } => is_in(OPEN, pragma_name),
        _ => true,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// `random()` and `randomblob(n)` as SQLite has them (<https://sqlite.org/lang_corefunc.html>), from the request's chance.
fn chance(connection: &Connection, seed: u64) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let generator = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let numbers = Arc::clone(&generator);
    connection.create_scalar_function("random", 0, flags, move |_| Ok(numbers.lock().next_u64().cast_signed()))?;
    connection.create_scalar_function("randomblob", 1, flags, move |context: &Context<'_>| {
        // As SQLite does: what is no number counts as 0, and 0 as 1.
        let length = context.get::<Option<i64>>(0).ok().flatten().unwrap_or(0).max(1);
        match usize::try_from(length) {
            Ok(length) if length <= LENGTH.unsigned_abs() as usize => {
                let mut bytes = vec![0_u8; length];
                generator.lock().fill_bytes(&mut bytes);
                Ok(bytes)
            }
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG),
                Some("string or blob too big".to_owned()),
            )),
        }
    })
}
