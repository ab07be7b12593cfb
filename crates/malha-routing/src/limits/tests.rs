use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::*;
use crate::traffic::{Limits, Protocol};

struct Scene {
    breakers: Arc<Breakers>,
    hosts: Vec<Arc<Account>>,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let breakers = Arc::new(Breakers::new(limits, Protocol::Http1));
        Self { breakers, hosts: (0..3).map(|_| Arc::default()).collect() }
    }

    fn admit_at(&self, host: usize, seconds: u64) -> Admission {
        admit(&self.breakers, &self.hosts[host], &self.hosts, Duration::from_secs(seconds))
    }

    fn admit(&self, host: usize) -> Admission {
        self.admit_at(host, 0)
    }

    fn go(&self, host: usize) -> Ticket {
        match self.admit(host) {
            Admission::Go(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn wait(&self, host: usize) -> Waiting {
        match self.admit(host) {
            Admission::Wait(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    fn overflows(&self, host: usize) -> bool {
        matches!(self.admit(host), Admission::Overflow)
    }

    fn gauges(&self) -> [u32; 3] {
        [&self.breakers.connections, &self.breakers.pending, &self.breakers.requests].map(Gauge::read)
    }
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(waiting: &mut Waiting) -> Poll<Result<Ticket, Overflow>> {
    Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop()))
}

fn done(ticket: Ticket) {
    ticket.finish(Moment::ZERO);
}

fn limits(connections: u32, pending: u32) -> Limits {
    Limits { connections, pending, ..Limits::default() }
}

#[test]
fn without_limits_everything_goes_and_is_counted() {
    let scene = Scene::new(Limits::default());
    let tickets: Vec<_> = (0..100).map(|_| scene.go(0)).collect();
    assert_eq!((scene.hosts[0].active.read(), scene.breakers.requests.read()), (100, 100));
    drop(tickets);
    assert_eq!((scene.hosts[0].active.read(), scene.breakers.requests.read()), (0, 0));
}

#[test]
fn too_many_requests_overflow() {
    let scene = Scene::new(Limits { requests: 2, ..Limits::default() });
    let (first, _second) = (scene.go(0), scene.go(1));
    assert!(scene.overflows(2));
    done(first);
    let _third = scene.go(2);
    assert!(scene.overflows(0));
}

#[test]
fn one_connection_serves_one_and_lets_as_many_wait_as_allowed() {
    // The circuit breaker of Istio's own task: one connection, one pending request.
    let scene = Scene::new(limits(1, 1));
    let first = scene.go(0);
    let mut second = scene.wait(0);
    assert!(scene.overflows(0));
    assert!(poll(&mut second).is_pending());
    done(first);
    let Poll::Ready(Ok(ticket)) = poll(&mut second) else { panic!("its turn") };
    let _third = scene.wait(0);
    assert_eq!(scene.gauges(), [1, 1, 1]);
    done(ticket);
}

#[test]
fn who_waits_longest_goes_first_and_is_woken() {
    let scene = Scene::new(limits(1, 9));
    let first = scene.go(0);
    let (mut second, mut third) = (scene.wait(0), scene.wait(0));
    let woken = [Arc::new(Woken::default()), Arc::new(Woken::default())];
    for (waiting, woken) in [&mut second, &mut third].into_iter().zip(&woken) {
        let waker = Waker::from(Arc::clone(woken));
        assert!(Pin::new(waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    // Cut short: its connection closes, and a new one takes its place.
    drop(first);
    assert_eq!(woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed)), [1, 0]);
    assert!(poll(&mut second).is_ready() && poll(&mut third).is_ready());
}

#[test]
fn who_gives_up_leaves_the_queue_or_hands_on_the_place() {
    let scene = Scene::new(limits(1, 2));
    let first = scene.go(0);
    let (second, third, fourth) = (scene.wait(0), scene.wait(0), scene.admit(0));
    assert!(matches!(fourth, Admission::Overflow));
    drop(second);
    assert_eq!(scene.gauges(), [1, 1, 1]);
    let mut last = scene.wait(0);
    done(first);
    // It was third's turn, and third never asked.
    drop(third);
    assert!(matches!(poll(&mut last), Poll::Ready(Ok(_))));
    drop(last);
    assert_eq!(scene.gauges(), [0, 0, 0]);
}

#[test]
fn a_host_without_a_connection_always_gets_one() {
    let scene = Scene::new(limits(1, 1));
    let _first = scene.go(0);
    let _second = scene.go(1);
    assert_eq!(scene.gauges(), [2, 0, 2]);
    let _third = scene.wait(1);
    // Who needs a new connection needs a free place in the queue too, even if only to pass through.
    assert!(scene.overflows(2));
}

#[test]
fn idle_connections_count_until_their_time_is_over() {
    let scene = Scene::new(Limits { idle_timeout: Some(Duration::from_mins(1)), ..limits(2, 1) });
    let (first, second) = (scene.go(0), scene.go(0));
    done(first);
    done(second);
    assert_eq!(scene.gauges(), [2, 0, 0]);
    let _third = scene.go(1);
    assert_eq!(scene.gauges(), [3, 0, 1]);
    let waiting = scene.admit_at(1, 59);
    assert!(matches!(waiting, Admission::Wait(_)));
    drop(waiting);
    assert!(matches!(scene.admit_at(1, 60), Admission::Go(_)));
    assert_eq!(scene.gauges()[0], 1, "two had had their time, and the new one was cut short");
}

#[test]
fn a_connection_serves_so_many_requests_and_no_more() {
    let scene = Scene::new(Limits { requests_per_connection: 2, ..limits(1, 1) });
    for open in [1, 0, 1, 0] {
        done(scene.go(0));
        assert_eq!(scene.gauges(), [open, 0, 0]);
    }
    done(scene.go(0));
    let second = scene.go(0);
    let mut third = scene.wait(0);
    done(second);
    assert!(matches!(poll(&mut third), Poll::Ready(Ok(_))), "on a new connection");
}

#[test]
fn a_waiting_request_overflows_when_there_are_too_many_requests_by_then() {
    let scene = Scene::new(Limits { requests: 1, ..limits(1, 2) });
    let first = scene.go(0);
    let mut second = scene.wait(0);
    // Another host has a connection of its own, but no request may be added: it stays open, idle.
    assert!(scene.overflows(1));
    assert_eq!(scene.gauges(), [2, 1, 1]);
    done(first);
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
}

#[test]
fn a_host_that_leaves_closes_its_connections() {
    let scene = Scene::new(limits(2, 1));
    let (first, second) = (scene.go(0), scene.go(0));
    done(first);
    scene.hosts[0].retire(&scene.breakers);
    assert_eq!(scene.gauges(), [1, 0, 1]);
    done(second);
    assert_eq!(scene.gauges(), [0, 0, 0]);
}

#[test]
fn http_2_shares_a_connection() {
    let breakers = Arc::new(Breakers::new(limits(1, 1), Protocol::Http2));
    let host = Arc::default();
    let admit = || admit(&breakers, &host, &[], Moment::ZERO);
    assert!(matches!((admit(), admit(), admit()), (Admission::Go(_), Admission::Go(_), Admission::Go(_))));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nobody_waits_for_a_host_that_is_free(
        connections in 1_u32..4,
        pending in 0_u32..4,
        requests in 1_u32..5,
        per_connection in 0_u32..3,
        steps in prop::collection::vec((0_usize..3, 0_u8..4, any::<prop::sample::Index>()), 1..80),
    ) {
        let limits = Limits { requests, requests_per_connection: per_connection, ..limits(connections, pending) };
        let scene = Scene::new(limits);
        let (mut running, mut waiting) = (Vec::new(), Vec::new());
        for (host, step, which) in steps {
            match step {
                0 if !running.is_empty() => done(running.swap_remove(which.index(running.len()))),
                1 if !running.is_empty() => drop(running.swap_remove(which.index(running.len()))),
                2 if !waiting.is_empty() => drop(waiting.swap_remove(which.index(waiting.len()))),
                _ => match scene.admit(host) {
                    Admission::Go(ticket) => running.push(ticket),
                    Admission::Wait(place) => waiting.push(place),
                    Admission::Overflow => {}
                },
            }
            let mut still = Vec::new();
            for mut place in waiting {
                match poll(&mut place) {
                    Poll::Ready(Ok(ticket)) => running.push(ticket),
                    Poll::Ready(Err(Overflow)) => {}
                    Poll::Pending => still.push(place),
                }
            }
            waiting = still;
            let [_, queued, in_flight] = scene.gauges();
            prop_assert_eq!((queued as usize, in_flight as usize), (waiting.len(), running.len()));
            prop_assert!(queued <= pending && in_flight <= requests);
            prop_assert!(waiting.is_empty() || !running.is_empty());
        }
        drop((running, waiting));
        for host in &scene.hosts {
            host.retire(&scene.breakers);
        }
        prop_assert_eq!(scene.gauges(), [0, 0, 0]);
    }
}
