//! One instance, from a request to the end of its response.
//!
//! The guest runs inside the task that waits for its response, without a task of its own; most have ended, body and
//! all, when the head of the response is there. What is left of the others then goes on as a task: whoever called may
//! still be sending a request, or may have gone away, and neither may stop a guest half-way.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tokio::time::sleep;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::app::Component;
use crate::body::{Body, BodyError, Watched};
use crate::cpu::{Meter, Metered};
use crate::host::Guest;
use crate::pod::Shared;

/// Why a request has no response from its guest.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GuestError {
    #[error("the guest trapped: {0}")]
    Trap(String),
    #[error("the guest used more than {0:?} of CPU time and was stopped")]
    CpuTime(Duration),
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
pub(crate) struct OutOfCpuTime;

/// The head of a response; its body is in the exchange.
type Answer = Result<Response<()>, ErrorCode>;
type Running = Metered<Pin<Box<dyn Future<Output = Result<(), GuestError>> + Send>>>;

/// How long a guest may go on when nobody waits for it any more.
const ABANDONED: Duration = Duration::from_secs(30);

/// How long a client may pause while it sends a body: Envoy's `stream_idle_timeout`.
const IDLE: Duration = Duration::from_mins(5);

/// Where the guest leaves its answer, and the body that it writes from then on. No channel of tokio's, which may say
/// "later" to a task that has had its share of polls: whoever polls the guest looks right after.
#[derive(Default)]
struct Exchange {
    answer: Mutex<Option<Answer>>,
    body: Mutex<Option<Stream>>,
    /// Told when nobody waits for the guest any more.
    abandoned: Notify,
}

impl Exchange {
    fn put(&self, answer: Result<Response<HyperOutgoingBody>, ErrorCode>) {
        let head = answer.map(|response| response.map(|source| *self.body.lock() = Some(Stream::new(source))));
        *self.answer.lock() = Some(head);
    }
}

/// Runs a fresh instance of `component` until the head of its response is there.
pub(crate) async fn respond(
    pod: &Arc<Shared>,
    component: &Arc<Component>,
    request: Request<Body>,
    depth: usize,
) -> Result<Response<Body>, GuestError> {
    // A process that is out of CPU time makes no instance: whoever waits for it holds none.
    pod.cpu.turn().await;
    let permit = pod.engine.shared.admission.enter(depth).await.map_err(|why| GuestError::NoInstance(why.into()))?;
    let request = request.map(|body| if body.is_end_stream() { body } else { Body::boxed(Watched::new(body, IDLE)) });
    let meter = Arc::new(Meter::default());
    let exchange = Arc::<Exchange>::default();
    let store = store(pod, component, depth, &meter);
    let run = run(store, Arc::clone(component), request, Arc::clone(&exchange));
    let future: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
        let result = run.await;
        drop(permit);
        result
    });
    let metered = Metered::new(future, meter, Arc::clone(&pod.cpu), pod.engine.clone());
    let mut rest = Rest { running: Some(metered), exchange, pod: Arc::clone(pod), answered: false };

    let (answer, failure) = poll_fn(|context| poll_answer(&mut rest, context)).await?;
    rest.answered = true;
    if let Some(error) = &failure {
        pod.complain(&error.to_string());
    }
    // What is left of the guest goes on by itself, as `rest` is dropped here: whoever asked may wait for the guest to
    // read a request before looking at the response.
    match answer {
        Ok(head) => Ok(head.map(|()| Body::guest(GuestBody(Arc::clone(&rest.exchange))))),
        Err(code) => Err(GuestError::Refused(format!("{code:?}"))),
    }
}

/// Ready with the answer, and with the failure of a guest that answered and failed at once; or with the reason why
/// there will be no answer. Takes the guest away once it has ended.
fn poll_answer(rest: &mut Rest, context: &mut Context<'_>) -> Poll<Result<(Answer, Option<GuestError>), GuestError>> {
    let ended = match rest.running.as_mut().map(|guest| Pin::new(guest).poll(context)) {
        Some(Poll::Ready(result)) => {
            rest.running = None;
            Some(result)
        }
        Some(Poll::Pending) | None => None,
    };
    let answer = rest.exchange.answer.lock().take();
    match (answer, ended) {
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
    exchange: Arc<Exchange>,
) -> Result<(), GuestError> {
    let result = async {
        let mut view = store.data_mut().http();
        let request = view.new_incoming_request(Scheme::Http, request)?;
        let put = {
            let exchange = Arc::clone(&exchange);
            move |answer| exchange.put(answer)
        };
        let response = view.new_response_outparam_from_callback(put)?;
        let proxy = component.code.proxy.instantiate_async(&mut store).await?;
        store.data_mut().limits.began();
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, response).await
    };
    let result = match result.await {
        Ok(()) => Ok(()),
        Err(error) => explain(&error, &store),
    };
    // Before the store goes: a body that nobody can finish any more looks finished once its writer is gone.
    if let Some(stream) = &mut *exchange.body.lock() {
        stream.close();
    }
    result
}

/// Puts wasmtime's error into the words of its cause. An exit with status 0 is no error.
fn explain(error: &wasmtime::Error, store: &Store<Guest>) -> Result<(), GuestError> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => return Ok(()),
        Some(I32Exit(status)) => return Err(GuestError::Exit(*status)),
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(GuestError::NoInstance(format!("{error:#}")));
    }
    if error.is::<OutOfCpuTime>() {
        return Err(GuestError::CpuTime(store.data().pod().engine.shared.options.cpu_per_request));
    }
    let text = format!("{error:?}");
    let limits = &store.data().limits;
    Err(if limits.exceeded { GuestError::Memory(limits.memory, text) } else { GuestError::Trap(text) })
}

/// A guest that runs. Dropped before its end, it goes on as a task, as in Spin: what it does besides answering is
/// done, even if nobody waits; but not for ever, since it holds an instance.
struct Rest {
    running: Option<Running>,
    exchange: Arc<Exchange>,
    pod: Arc<Shared>,
    answered: bool,
}

impl Drop for Rest {
    fn drop(&mut self) {
        let (Some(mut running), Ok(runtime)) = (self.running.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        if !self.answered {
            self.exchange.abandoned.notify_one();
        }
        let (exchange, pod) = (Arc::clone(&self.exchange), Arc::clone(&self.pod));
        runtime.spawn(async move {
            let too_long = async {
                exchange.abandoned.notified().await;
                sleep(ABANDONED).await;
            };
            // The response may have begun, so that none can show the failure.
            tokio::select! {
                result = &mut running => if let Err(error) = result { pod.complain(&error.to_string()) },
                // The store still lives here: a body that is not whole yet ends as one that is cut.
                _ = pod.ended() => if let Some(stream) = &mut *exchange.body.lock() { stream.close() },
                () = too_long => pod.complain(&format!("the guest was stopped {ABANDONED:?} after its client had gone")),
            }
        });
    }
}

/// The body of a guest's response, as its reader sees it.
pub(crate) struct GuestBody(Arc<Exchange>);

/// The body between the guest that writes it and its reader.
struct Stream {
    /// While the guest runs.
    source: Option<HyperOutgoingBody>,
    /// What the guest left behind: at most what fits into its channel.
    left: VecDeque<Frame<Bytes>>,
    /// The body ends with this instead of its end.
    failure: Option<BodyError>,
    reader: Option<Waker>,
}

impl Stream {
    fn new(source: HyperOutgoingBody) -> Self {
        Self { source: Some(source), left: VecDeque::new(), failure: None, reader: None }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(source) = &mut self.source {
            let polled = Pin::new(source).poll_frame(context).map_err(BodyError::from);
            if polled.is_pending() {
                self.reader = Some(context.waker().clone());
            }
            return polled;
        }
        let frame = self.left.pop_front().map(Ok);
        Poll::Ready(frame.or_else(|| self.failure.take().map(Err)))
    }

    /// The guest has ended, and its store still lives: takes what it wrote, and finds out whether it is the whole.
    fn close(&mut self) {
        let Some(mut source) = self.source.take() else { return };
        let mut context = Context::from_waker(Waker::noop());
        self.failure = loop {
            let next = std::pin::pin!(unconstrained(poll_fn(|context| Pin::new(&mut source).poll_frame(context))));
            match next.poll(&mut context) {
                Poll::Ready(Some(Ok(frame))) => self.left.push_back(frame),
                Poll::Ready(Some(Err(error))) => break Some(error.into()),
                Poll::Ready(None) => break None,
                Poll::Pending => break Some(BodyError::Guest("the guest ended within the body".into())),
            }
        };
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl GuestBody {
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.body.lock().as_mut().map_or(Poll::Ready(None), |stream| stream.poll_frame(context))
    }
}

impl Drop for GuestBody {
    /// Nobody reads any more: the guest's next write fails, and tells it so.
    fn drop(&mut self) {
        *self.0.body.lock() = None;
        self.0.abandoned.notify_one();
    }
}
