//! What a guest can ask for.
//!
//! Each request has a [`Guest`]: the store's data, which answers the interfaces that the guest imports. What nearly
//! every guest asks for (clocks, chance, its output) is answered here from the pod's world. What hardly any does
//! (files, sockets) is wasmtime-wasi's, made on first use: no folder is open to it, and no network.

mod cli;
mod clocks;
mod http;
mod key_value;
mod random;
mod sqlite;
mod variables;

use std::sync::Arc;

use malha_world::Stream;
use parking_lot::Mutex;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::app::Component;
use crate::cpu::Meter;
use crate::logs::{LineWriter, LogStream};
use crate::pod::Shared as PodShared;
use crate::storage::Allowance;

use self::http::Hooks;

/// One request's view of the world.
pub(crate) struct Guest {
    pod: Arc<PodShared>,
    component: Arc<Component>,
    table: ResourceTable,
    chance: Stream,
    /// The secure generator, once the guest asked for it.
    secret: Option<Box<rand::rngs::StdRng>>,
    stdout: Option<Arc<Mutex<LineWriter>>>,
    stderr: Option<Arc<Mutex<LineWriter>>>,
    http: WasiHttpCtx,
    hooks: Hooks,
    /// Files and sockets, for the few that look.
    rest: Option<Box<WasiCtx>>,
    /// How many databases and key-value stores it has open.
    databases: usize,
    stores: usize,
    pub(crate) limits: Limits,
    pub(crate) meter: Arc<Meter>,
}

impl Guest {
    pub(crate) fn new(pod: Arc<PodShared>, component: Arc<Component>, depth: usize, meter: Arc<Meter>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            table,
            chance: pod.world.chance.stream(),
            secret: None,
            stdout: None,
            stderr: None,
            http: WasiHttpCtx::new(),
            hooks: Hooks::new(Arc::clone(&pod), Arc::clone(&component), depth),
            rest: None,
            databases: 0,
            stores: 0,
            limits: Limits::new(&pod),
            meter,
            pod,
            component,
        }
    }

    pub(crate) fn pod(&self) -> &PodShared {
        &self.pod
    }

    /// What work on a database may still use.
    fn allowance(&self) -> Allowance {
        Allowance {
            meter: Arc::clone(&self.meter),
            account: Arc::clone(&self.pod.cpu),
            limit: self.pod.engine.shared.options.cpu_per_request,
        }
    }

    fn writer(&mut self, stream: LogStream) -> Arc<Mutex<LineWriter>> {
        let slot = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        let make = || Arc::new(Mutex::new(LineWriter::new(Arc::clone(&self.pod.logs), stream)));
        Arc::clone(slot.get_or_insert_with(make))
    }
}

/// What an instance may grow to.
pub(crate) struct Limits {
    pub(crate) memory: u64,
    /// Whether the guest was refused memory: the likely cause of a trap that follows.
    pub(crate) exceeded: bool,
    /// Whether its memories are made and the guest itself runs.
    began: bool,
    /// On its pod's account for as long as it lives, in bytes.
    held: u64,
    pod: Arc<PodShared>,
}

/// What an instance is charged for a memory as it begins. A kernel charges the pages that are touched. Of what a component
/// begins with, that is little: the memory is a copy-on-write mapping of its image, laid out with room for stack and heap
/// (4 MiB in `.cargo/config.toml`), of which a `composition` that has checked a token and waits for its upstreams has touched
/// about 80 KiB, the host's own part included. What a guest asks for beyond that it means to use: it is charged in full.
const TOUCHED: u64 = 128 << 10;

/// The pod's instances hold more than it may have, and so it was killed: ends the guest whose demand it was.
#[derive(Debug, thiserror::Error)]
#[error("the pod is out of memory")]
struct PodOutOfMemory;

impl Limits {
    fn new(pod: &Arc<PodShared>) -> Self {
        Self { memory: pod.memory_per_instance, exceeded: false, began: false, held: 0, pod: Arc::clone(pod) }
    }

    /// The guest's memories are made: from now on it is the guest that asks for more.
    pub(crate) fn began(&mut self) {
        self.began = true;
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.pod.let_go(self.held);
    }
}

/// Resources (streams, headers, pollables …) that one guest may hold; they are the host's memory.
const RESOURCES: usize = 16 << 10;

/// Entries that a table may grow to; the pool sets the same limit.
const TABLE_ENTRIES: usize = 20_000;

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired as u64 <= self.memory;
        self.exceeded |= !fits;
        if !fits {
            return Ok(false);
        }
        let more = desired.saturating_sub(current) as u64;
        let more = if current == 0 && !self.began { more.min(TOUCHED) } else { more };
        self.held += more;
        if self.pod.hold(more) { Ok(true) } else { Err(PodOutOfMemory.into()) }
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.rest.get_or_insert_with(|| Box::new(WasiCtx::builder().build()));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Streams and pollables need the resource table alone.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Everything that malha offers to guests.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    type Own = HasSelf<Guest>;
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<Guest, Table>(l, |guest| &mut guest.table)?;
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<Guest, Table>(l, |guest| &mut guest.table)?;
    wasmtime_wasi_io::bindings::wasi::io::streams::add_to_linker::<Guest, Table>(l, |guest| &mut guest.table)?;
    wasi::clocks::wall_clock::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::random::random::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::random::insecure::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::random::insecure_seed::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::environment::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::exit::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::stdin::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::stdout::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::stderr::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::terminal_input::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::terminal_output::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::terminal_stdin::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::terminal_stdout::add_to_linker::<_, Own>(l, |guest| guest)?;
    wasi::cli::terminal_stderr::add_to_linker::<_, Own>(l, |guest| guest)?;
    add_rest(l)?;
    wasmtime_wasi_http::p2::bindings::http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, Guest::http)?;
    let options = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
    wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<_, WasiHttp>(l, &(&options).into(), Guest::http)?;
    variables::add_to_linker(l)?;
    sqlite::add_to_linker(l)?;
    key_value::add_to_linker(l)?;
    Ok(linker)
}

fn add_rest(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
    wasi::filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Guest::filesystem)?;
    wasi::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, Guest::filesystem)?;
    wasi::sockets::instance_network::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    let options = wasi::sockets::network::LinkOptions::default();
    wasi::sockets::network::add_to_linker::<_, WasiSockets>(l, &options, Guest::sockets)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    wasi::sockets::tcp::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    wasi::sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    wasi::sockets::udp::add_to_linker::<_, WasiSockets>(l, Guest::sockets)?;
    wasi::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, Guest::sockets)
}
