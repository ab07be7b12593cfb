//! One instance, from a request to the end of its response.
//!
//! The guest runs inside the task that waits for its response, without a task or thread of its own: first until the
//! head of the response is there, then, driven by whoever reads the body, to its end. A reader that goes away does
//! not stop it, as in Spin: what is left of the guest then goes on as a task, within its limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::app::Component;
use crate::body::{Body, BodyError};
use crate::cpu::{Meter, Metered};
use crate::host::Guest;
use crate::pod::Shared;

/// Why a request has no response from its guest.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GuestError {
    #[error("the guest trapped: {0}")]
    Trap(String),
    #[error("the guest used more than {0:?} of CPU time and was stopped")]
    CpuTime(std::time::Duration),
    #[error("the guest wanted more memory than {0} bytes: {1}")]
    Memory(u64, String),
    #[error("the guest ended with exit status {0}")]
    Exit(i32),
    #[error("the guest returned without a response")]
    NoResponse,
    #[error("the guest answered with an error: {0}")]
    Refused(String),
    #[error("no instance: {0}")]
    NoInstance(String),
}

/// The limit of CPU time, as wasmtime carries it through the guest's stack.
#[derive(Debug, thiserror::Error)]
#[error("out of CPU time")]
struct OutOfCpuTime;

type Answer = Result<Response<HyperOutgoingBody>, ErrorCode>;
/// Where the guest leaves its answer. No channel: guest and reader are one task, so that whoever polls the guest can
/// look right after; and a channel of tokio's may well say "later" to a task that has had its share of polls.
type Slot = Arc<Mutex<Option<Answer>>>;
type Running = Metered<Pin<Box<dyn Future<Output = Result<(), GuestError>> + Send>>>;

/// Runs a fresh instance of `component` until the head of its response is there.
pub(crate) async fn respond(
    pod: &Arc<Shared>,
    component: &Arc<Component>,
    request: Request<Body>,
    depth: usize,
) -> Result<Response<Body>, GuestError> {
    let engine = &pod.engine;
    let too_deep = || GuestError::NoInstance("the chain of calls that led here is too long".into());
    let permit = engine.shared.admission.enter(depth).await.ok_or_else(too_deep)?;
    engine.wake_ticker();

    let meter = Arc::new(Meter::default());
    let slot = Slot::default();
    let store = store(pod, component, depth, &meter);
    let run = run(store, Arc::clone(component), request, Arc::clone(&slot));
    let future: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
        let result = run.await;
        drop(permit);
        result
    });
    let mut running = Some(Metered::new(future, meter, Arc::clone(&pod.cpu)));

    let (answer, failure) = poll_fn(|context| poll_answer(&mut running, &slot, context)).await?;
    let response = answer.map_err(|code| GuestError::Refused(format!("{code:?}")))?;
    if let Some(error) = &failure {
        pod.complain(&error.to_string());
    }
    let guest = running.map(|running| Rest { running, pod: Arc::clone(pod) });
    let failed = failure.is_some();
    Ok(response.map(|body| Body::guest(GuestBody { body, guest, failed })))
}

/// Ready with the answer, and with the failure of a guest that answered and failed at once, as its body will show; or
/// with the reason why there will be no answer. Takes `running` away once it has ended.
fn poll_answer(
    running: &mut Option<Running>,
    slot: &Slot,
    context: &mut Context<'_>,
) -> Poll<Result<(Answer, Option<GuestError>), GuestError>> {
    let ended = match running.as_mut().map(|guest| Pin::new(guest).poll(context)) {
        Some(Poll::Ready(result)) => {
            *running = None;
            Some(result)
        }
        Some(Poll::Pending) | None => None,
    };
    match (slot.lock().take(), ended) {
        (Some(answer), ended) => Poll::Ready(Ok((answer, ended.and_then(Result::err)))),
        (None, Some(Err(error))) => Poll::Ready(Err(error)),
        (None, Some(Ok(()))) => Poll::Ready(Err(GuestError::NoResponse)),
        (None, None) => Poll::Pending,
    }
}

fn store(pod: &Arc<Shared>, component: &Arc<Component>, depth: usize, meter: &Arc<Meter>) -> Store<Guest> {
    let guest = Guest::new(Arc::clone(pod), Arc::clone(component), depth, Arc::clone(meter));
    let mut store = Store::new(pod.engine.wasmtime(), guest);
    store.limiter(|guest| &mut guest.limits);
    store.set_epoch_deadline(1);
    let allowed = pod.engine.shared.options.cpu_per_request;
    store.epoch_deadline_callback(move |context| {
        if context.data().meter.used() < allowed { Ok(UpdateDeadline::Yield(1)) } else { Err(OutOfCpuTime.into()) }
    });
    store
}

async fn run(
    mut store: Store<Guest>,
    component: Arc<Component>,
    request: Request<Body>,
    slot: Slot,
) -> Result<(), GuestError> {
    let result = async {
        let mut view = store.data_mut().http();
        let request = view.new_incoming_request(Scheme::Http, request)?;
        let response = view.new_response_outparam_from_callback(move |answer| *slot.lock() = Some(answer))?;
        let proxy = component.code.proxy.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, response).await
    };
    match result.await {
        Ok(()) => Ok(()),
        Err(error) => explain(&error, &store),
    }
}

/// Puts wasmtime's error into the words of its cause. An exit with status 0 is no error.
fn explain(error: &wasmtime::Error, store: &Store<Guest>) -> Result<(), GuestError> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => return Ok(()),
        Some(I32Exit(status)) => return Err(GuestError::Exit(*status)),
        None => {}
    }
    if error.is::<OutOfCpuTime>() {
        return Err(GuestError::CpuTime(store.data().pod().engine.shared.options.cpu_per_request));
    }
    let text = format!("{error:?}");
    let limits = &store.data().limits;
    Err(if limits.exceeded { GuestError::Memory(limits.memory, text) } else { GuestError::Trap(text) })
}

/// A guest that is still running though its response has begun.
struct Rest {
    running: Running,
    pod: Arc<Shared>,
}

impl Rest {
    /// Runs to the end; a failure goes to the pod's log, since no response can show it any more.
    async fn finish(self) {
        if let Err(error) = self.running.await {
            self.pod.complain(&error.to_string());
        }
    }
}

/// The body of a guest's response, which drives the guest that writes it.
pub(crate) struct GuestBody {
    body: HyperOutgoingBody,
    guest: Option<Rest>,
    failed: bool,
}

impl GuestBody {
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Some(frame)) = self.poll_body(context) {
            return Poll::Ready(Some(frame));
        }
        if let Some(guest) = &mut self.guest
            && let Poll::Ready(result) = Pin::new(&mut guest.running).poll(context)
        {
            if let Err(error) = result {
                guest.pod.complain(&error.to_string());
                self.failed = true;
            }
            self.guest = None;
        }
        match self.poll_body(context) {
            // The writer vanished without finishing; what was read so far must not pass for the whole.
            Poll::Ready(None) if self.failed => {
                self.failed = false;
                Poll::Ready(Some(Err(BodyError::Guest("the guest failed".into()))))
            }
            ready => ready,
        }
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context).map_err(BodyError::from)
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        if let (Some(guest), Ok(runtime)) = (self.guest.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(guest.finish());
        }
    }
}
