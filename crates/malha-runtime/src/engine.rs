//! How wasmtime is set up.
//!
//! Everything here serves one aim: a fresh instance for every request, at the price of a few microseconds.
//! - **Pooling**: memories, tables and stacks are reserved once; an instance takes a slot and gives it back.
//! - **Copy-on-write**: a memory begins as a private mapping of the component's image; only touched pages cost.
//! - **Kept resident**: a slot that comes back is wiped by hand instead of by `madvise`, whose page faults and
//!   inter-processor interrupts cost more than the wiping. Where Linux has `PAGEMAP_SCAN` (6.7), only dirty pages are.
//! - **Epochs**: a ticker advances the engine's epoch, so that a guest that never ends yields to its neighbours at
//!   every tick and is stopped when its time on the CPU is used up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::admission::Admission;
use crate::host::{self, Guest};

/// How often guests are interrupted to let others run.
const TICK: Duration = Duration::from_millis(5);

/// Ticks without a guest that runs after which the ticker sleeps, so that an idle cluster costs no CPU.
const IDLE_TICKS: u32 = 200;

/// A stack of wasm frames; an async stack holds one and the host's frames on top.
const WASM_STACK: usize = 512 << 10;
const ASYNC_STACK: usize = WASM_STACK + (256 << 10);

/// What one component may be made of: a module of its own and the small adapters that wit-component puts around it.
const MEMORIES: u32 = 2;
const CORE_INSTANCES: u32 = 16;
const TABLES: u32 = 8;

/// What may differ between two engines.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where machine code is kept between runs; `None` compiles each time.
    pub cache: Option<PathBuf>,
    /// The most time on the CPU that one request may use in one guest.
    pub cpu_per_request: Duration,
    /// The largest linear memory of an instance in bytes, where the pod does not say less.
    pub memory_per_instance: u64,
    /// Whether pods are held to their limits.
    pub pod_limits: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: None, cpu_per_request: Duration::from_secs(10), memory_per_instance: 512 << 20, pod_limits: true }
    }
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration or the machine the address space.
    #[error("the WebAssembly engine cannot start: {0:#}")]
    Wasmtime(wasmtime::Error),
    /// No thread for the ticker.
    #[error("the engine's ticker cannot start: {0}")]
    Ticker(std::io::Error),
}

/// Compiles and runs components. A handle: clones share everything.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) wasmtime: wasmtime::Engine,
    /// What guests can import.
    pub(crate) linker: Linker<Guest>,
    pub(crate) options: EngineOptions,
    pub(crate) admission: Admission,
    ticker: Arc<Ticker>,
}

impl Engine {
    /// Sets wasmtime up and starts the ticker.
    ///
    /// # Errors
    /// [`EngineError`]: when the machine cannot give the address space or a thread.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&config()).map_err(EngineError::Wasmtime)?;
        let linker = host::linker(&wasmtime).map_err(EngineError::Wasmtime)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(EngineError::Ticker)?;
        Ok(Self { shared: Arc::new(Shared { wasmtime, linker, options, admission: Admission::new(), ticker }) })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    /// A guest is about to run: from now on the epoch advances.
    pub(crate) fn wake_ticker(&self) {
        self.shared.ticker.note_poll();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

fn config() -> Config {
    let instances = Admission::CAPACITY;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        // As many of each as all instances together may have; what is not used costs address space only.
        .total_memories(instances * MEMORIES)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_tables(instances * TABLES)
        .max_memories_per_component(MEMORIES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_tables_per_component(TABLES)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(20_000)
        .max_memory_size(4 << 30)
        .max_unused_warm_slots(64)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(0)
        .pagemap_scan(if PoolingAllocationConfig::is_pagemap_scan_available() { Enabled::Yes } else { Enabled::No });

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        // WASI 0.2 guests are single tasks; the bookkeeping of WASI 0.3's concurrency is not theirs to pay.
        .concurrency_support(false)
        // Logs of a trap name the functions; nothing of it costs before a trap.
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
    config
}

/// Advances the epoch while guests run. It runs on a thread of its own and in real time, the one exception to
/// "wait with tokio": a guest that loops blocks the very executor that a tokio timer needs, and what it measures is
/// work done by a processor, which no paused clock can simulate.
struct Ticker {
    stopped: AtomicBool,
    asleep: AtomicBool,
    /// Polls of guests. A guest that loops is interrupted at every tick and polled again, so that this never stands
    /// still while one runs.
    polls: AtomicU64,
    thread: parking_lot::Mutex<Option<thread::Thread>>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self {
            stopped: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            thread: parking_lot::Mutex::new(None),
        });
        let handle = thread::Builder::new().name("malha-epoch".into()).spawn({
            let ticker = Arc::clone(&ticker);
            move || ticker.run(&engine)
        })?;
        *ticker.thread.lock() = Some(handle.thread().clone());
        Ok(ticker)
    }

    fn run(&self, engine: &wasmtime::Engine) {
        let (mut seen, mut idle) = (0, 0);
        while !self.stopped.load(Ordering::Relaxed) {
            let polls = self.polls.load(Ordering::SeqCst);
            idle = if polls == seen { idle + 1 } else { 0 };
            seen = polls;
            if idle < IDLE_TICKS {
                thread::park_timeout(TICK);
                engine.increment_epoch();
            } else {
                self.asleep.store(true, Ordering::SeqCst);
                // Whoever polls from here on wakes us; whoever did just before is seen here.
                if self.polls.load(Ordering::SeqCst) == seen {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            }
        }
    }

    fn note_poll(&self) {
        self.polls.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.unpark();
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }
}
