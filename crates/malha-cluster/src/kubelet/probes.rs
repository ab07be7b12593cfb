//! Probes: when a container is asked how it is, and what its answers mean (`pkg/kubelet/prober/worker.go`, `prober.go`).
//!
//! The kubelet asks at once when the container runs and then each period, but not before `initialDelaySeconds`: with a
//! delay the first probe falls on the first period's end after it. Startup comes first; until it succeeds there are no
//! others. How one probe is carried out is [`Node::probe`](crate::Node::probe)'s business.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe as Spec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::time::Instant;

use crate::node::ProbeRequest;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Startup,
    Readiness,
    Liveness,
}

impl ProbeKind {
    pub(crate) const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// As events begin: `Readiness probe failed: …`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// How a probe went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Passed,
    /// What was wrong.
    Failed(String),
    /// It could not be made: that says nothing of the container.
    Errored(String),
}

/// The probes of one run of a container.
#[derive(Clone, Debug)]
pub(crate) struct Probes {
    startup: Option<Prober>,
    readiness: Option<Prober>,
    liveness: Option<Prober>,
}

#[derive(Clone, Debug)]
struct Prober {
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    /// When it is due.
    next: Instant,
    under_way: bool,
    /// What the last probes in a row said, and how many they were.
    run: (bool, u32),
    /// What that amounts to.
    verdict: bool,
    /// Nothing is asked any more: the container has started, or is to go.
    over: bool,
}

impl Prober {
    fn new(spec: &Spec, started: Instant, verdict: bool) -> Self {
        let at_least = |number: Option<i32>, default: u32| match number.and_then(|number| u32::try_from(number).ok()) {
            None | Some(0) => default,
            Some(number) => number,
        };
        let period = at_least(spec.period_seconds, 10);
        let delay = spec.initial_delay_seconds.and_then(|delay| u32::try_from(delay).ok()).unwrap_or(0);
        let first = delay.div_ceil(period) * period;
        Self {
            period: Duration::from_secs(period.into()),
            success_threshold: at_least(spec.success_threshold, 1),
            failure_threshold: at_least(spec.failure_threshold, 3),
            next: started + Duration::from_secs(first.into()),
            under_way: false,
            run: (verdict, 0),
            verdict,
            over: false,
        }
    }

    fn due(&mut self, now: Instant) -> bool {
        let due = !self.over && !self.under_way && self.next <= now;
        if due {
            self.under_way = true;
            self.next = (self.next + self.period).max(now);
        }
        due
    }

    fn next(&self) -> Option<Instant> {
        (!self.over && !self.under_way).then_some(self.next)
    }

    /// Takes in an answer; whether the verdict is one that counts now.
    fn learn(&mut self, passed: bool) -> bool {
        let run = if self.run.0 == passed { self.run.1 + 1 } else { 1 };
        self.run = (passed, run);
        let enough = if passed { self.success_threshold } else { self.failure_threshold };
        if run >= enough {
            self.verdict = passed;
        }
        run >= enough
    }
}

/// What an answer means for the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing, or another readiness.
    Goes,
    /// It is to be started again.
    Restart,
}

impl Probes {
    /// The probes of a container that began to run at `started`.
    pub(crate) fn new(container: &Container, started: Instant) -> Self {
        let prober = |spec: &Option<Spec>, verdict| spec.as_ref().map(|spec| Prober::new(spec, started, verdict));
        Self {
            startup: prober(&container.startup_probe, false),
            readiness: prober(&container.readiness_probe, false),
            liveness: prober(&container.liveness_probe, true),
        }
    }

    fn prober(&mut self, kind: ProbeKind) -> Option<&mut Prober> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
        }
    }

    /// Whether the startup probe, if there is one, has succeeded.
    pub(crate) fn started(&self) -> bool {
        self.startup.as_ref().is_none_or(|startup| startup.verdict)
    }

    /// Whether the container takes requests.
    pub(crate) fn ready(&self) -> bool {
        self.started() && self.readiness.as_ref().is_none_or(|readiness| readiness.verdict)
    }

    /// Whether a probe has said nothing yet.
    pub(crate) fn unheard(&self, kind: ProbeKind) -> bool {
        let prober = match kind {
            ProbeKind::Startup => &self.startup,
            ProbeKind::Readiness => &self.readiness,
            ProbeKind::Liveness => &self.liveness,
        };
        prober.as_ref().is_some_and(|prober| prober.run.1 == 0)
    }

    fn asks(&self, kind: ProbeKind, ending: bool) -> bool {
        match kind {
            ProbeKind::Startup => !ending && !self.started(),
            // Also of a container that is on its way out.
            ProbeKind::Readiness => self.started(),
            ProbeKind::Liveness => !ending && self.started(),
        }
    }

    /// The probes to make now; each is under way then.
    pub(crate) fn due(&mut self, now: Instant, ending: bool) -> Vec<ProbeKind> {
        let asked: Vec<ProbeKind> = ProbeKind::ALL.into_iter().filter(|kind| self.asks(*kind, ending)).collect();
        asked.into_iter().filter(|kind| self.prober(*kind).is_some_and(|prober| prober.due(now))).collect()
    }

    /// When to look again.
    pub(crate) fn next(&self, ending: bool) -> Option<Instant> {
        let all = [
            (ProbeKind::Startup, &self.startup),
            (ProbeKind::Readiness, &self.readiness),
            (ProbeKind::Liveness, &self.liveness),
        ];
        all.into_iter()
            .filter(|(kind, _)| self.asks(*kind, ending))
            .filter_map(|(_, prober)| prober.as_ref()?.next())
            .min()
    }

    /// Takes in how a probe went.
    pub(crate) fn learn(&mut self, kind: ProbeKind, answer: &Answer, now: Instant) -> Meaning {
        let Some(prober) = self.prober(kind) else { return Meaning::Goes };
        prober.under_way = false;
        let passed = match answer {
            Answer::Passed => true,
            Answer::Failed(_) => false,
            Answer::Errored(_) => return Meaning::Goes,
        };
        let counts = prober.learn(passed);
        match (kind, passed) {
            (ProbeKind::Startup | ProbeKind::Liveness, false) if counts => {
                prober.over = true;
                Meaning::Restart
            }
            (ProbeKind::Startup, true) if counts => {
                prober.over = true;
                // Readiness has waited for it and is asked at once; liveness keeps its pace.
                if let Some(readiness) = self.readiness.as_mut().filter(|readiness| readiness.next <= now) {
                    readiness.next = now;
                }
                if let Some(liveness) = &mut self.liveness {
                    while liveness.next <= now {
                        liveness.next += liveness.period;
                    }
                }
                Meaning::Goes
            }
            _ => Meaning::Goes,
        }
    }
}

/// How long the container may take to answer.
pub(crate) fn timeout(spec: &Spec) -> Duration {
    let seconds = spec.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    Duration::from_secs(seconds.unwrap_or(1))
}

/// The probe of this kind.
pub(crate) fn spec(container: &Container, kind: ProbeKind) -> Option<&Spec> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
    }
}

/// What to ask the container, or the answer where there is nothing to ask.
pub(crate) fn request(spec: &Spec, container: &Container, ip: &str) -> Result<ProbeRequest, Answer> {
    if spec.exec.is_some() {
        let why = "the Spin shim runs no command in a container; use httpGet";
        return Err(Answer::Errored(why.to_owned()));
    }
    if spec.grpc.is_some() {
        return Err(Answer::Errored("malha has no part for gRPC probes; use httpGet".to_owned()));
    }
    if let Some(tcp) = &spec.tcp_socket {
        // A pod that runs listens.
        return Err(port(&tcp.port, container).map_or_else(Answer::Errored, |_| Answer::Passed));
    }
    let Some(http) = &spec.http_get else { return Err(Answer::Errored("missing probe handler".to_owned())) };
    let port = port(&http.port, container).map_err(Answer::Errored)?;
    let host = http.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| ip.to_owned());
    let path = http.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let headers = http.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
    let url = format!("{}://{host}:{port}{path}", http.scheme.as_deref().unwrap_or("HTTP").to_lowercase());
    if url.starts_with("https:") {
        return Err(Answer::Failed(format!("Get \"{url}\": http: server gave HTTP response to HTTPS client")));
    }
    if host != ip {
        return Err(Answer::Errored(format!("malha probes pods only, and httpGet.host is {host}; leave it out")));
    }
    Ok(ProbeRequest { url, host: format!("{host}:{port}"), path, headers: headers.collect() })
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let found = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            match found {
                Some(port) => port.container_port,
                // As the kubelet, which takes a name that it does not find for a number.
                None => name.parse().map_err(|_| format!("strconv.Atoi: parsing \"{name}\": invalid syntax"))?,
            }
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// What a status says (`pkg/probe/http`): 2xx and 3xx are fine.
pub(crate) fn judge(status: u16) -> Answer {
    if (200..400).contains(&status) {
        Answer::Passed
    } else {
        Answer::Failed(format!("HTTP probe failed with statuscode: {status}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(probes: &serde_json::Value) -> Container {
        let mut container = json!({"name": "app", "ports": [{"name": "http", "containerPort": 8080}]});
        container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
        serde_json::from_value(container).unwrap()
    }

    /// The seconds at which probes are made in the first minute, with what `answers` says to the n-th.
    fn timeline(container: &Container, answers: impl Fn(ProbeKind, usize) -> bool) -> Vec<(u64, ProbeKind)> {
        let start = Instant::now();
        let mut probes = Probes::new(container, start);
        let mut made = Vec::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            loop {
                let due = probes.due(now, false);
                for kind in &due {
                    let count = made.iter().filter(|(_, other)| other == kind).count();
                    made.push((second, *kind));
                    let answer = if answers(*kind, count) { Answer::Passed } else { Answer::Failed(String::new()) };
                    probes.learn(*kind, &answer, now);
                }
                if due.is_empty() {
                    break;
                }
            }
        }
        made
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_comes_at_once_and_each_period_but_not_before_its_delay() {
        for (spec, want) in [
            (json!({"tcpSocket": {"port": 80}, "periodSeconds": 20}), vec![0, 20, 40]),
            (json!({"tcpSocket": {"port": 80}, "periodSeconds": 20, "initialDelaySeconds": 5}), vec![20, 40]),
            (json!({"tcpSocket": {"port": 80}, "initialDelaySeconds": 30}), vec![30, 40, 50]),
        ] {
            let made = timeline(&container(&json!({"readinessProbe": spec})), |_, _| true);
            assert_eq!(made.into_iter().map(|(second, _)| second).collect::<Vec<_>>(), want, "{spec}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_the_startup_probe_which_then_ends() {
        let spec = |period: u32| json!({"tcpSocket": {"port": 80}, "periodSeconds": period});
        let all = json!({"startupProbe": spec(3), "readinessProbe": spec(20), "livenessProbe": spec(20)});
        let made = timeline(&container(&all), |kind, count| kind != ProbeKind::Startup || count == 2);
        let of = |wanted| -> Vec<u64> {
            made.iter().filter(|(_, kind)| *kind == wanted).map(|(second, _)| *second).collect()
        };
        assert_eq!(of(ProbeKind::Startup), [0, 3, 6]);
        assert_eq!(of(ProbeKind::Readiness), [6, 26, 46]);
        assert_eq!(of(ProbeKind::Liveness), [20, 40]);
    }

    #[tokio::test(start_paused = true)]
    async fn thresholds_count_what_comes_in_a_row() {
        let spec = json!({"tcpSocket": {"port": 80}, "successThreshold": 2, "failureThreshold": 3});
        let now = Instant::now();
        let mut probes = Probes::new(&container(&json!({"readinessProbe": spec})), now);
        let failed = Answer::Failed(String::new());
        let errored = Answer::Errored(String::new());
        let passed = Answer::Passed;
        let answers =
            [&passed, &failed, &passed, &passed, &failed, &failed, &errored, &passed, &failed, &failed, &failed];
        let ready: Vec<bool> = answers
            .into_iter()
            .map(|answer| {
                probes.learn(ProbeKind::Readiness, answer, now);
                probes.ready()
            })
            .collect();
        assert_eq!(ready, [false, false, false, true, true, true, true, true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn liveness_that_fails_often_enough_ends_the_container() {
        let spec = json!({"tcpSocket": {"port": 80}, "failureThreshold": 2});
        let now = Instant::now();
        let mut probes = Probes::new(&container(&json!({"livenessProbe": spec})), now);
        let failed = Answer::Failed(String::new());
        assert_eq!(probes.learn(ProbeKind::Liveness, &failed, now), Meaning::Goes);
        assert_eq!(probes.learn(ProbeKind::Liveness, &failed, now), Meaning::Restart);
        assert_eq!(probes.next(false), None);
    }

    #[test]
    fn a_request_is_made_of_the_pods_address_and_what_cannot_be_asked_is_said() {
        let container = container(&json!({}));
        let ask = |spec: serde_json::Value| {
            let spec: Spec = serde_json::from_value(spec).unwrap();
            request(&spec, &container, "10.244.0.1").map(|request| request.url)
        };
        let url = |text: &str| Ok(text.to_owned());
        assert_eq!(
            ask(json!({"httpGet": {"port": "http", "path": "health?a=b"}})),
            url("http://10.244.0.1:8080/health?a=b")
        );
        assert_eq!(ask(json!({"httpGet": {"port": 80}})), url("http://10.244.0.1:80/"));
        let error = |text: &str| Err(Answer::Errored(text.to_owned()));
        assert_eq!(ask(json!({"httpGet": {"port": "web"}})), error("strconv.Atoi: parsing \"web\": invalid syntax"));
        assert_eq!(ask(json!({"httpGet": {"port": 70_000}})), error("invalid port number: 70000"));
        assert_eq!(ask(json!({"tcpSocket": {"port": "http"}})), Err(Answer::Passed));
        assert!(matches!(ask(json!({"exec": {"command": ["true"]}})), Err(Answer::Errored(_))));
        assert!(matches!(ask(json!({"grpc": {"port": 80}})), Err(Answer::Errored(_))));
        let https = ask(json!({"httpGet": {"port": 80, "scheme": "HTTPS"}}));
        assert!(matches!(https, Err(Answer::Failed(why)) if why.contains("HTTPS client")));
    }

    #[test]
    fn twos_and_threes_are_fine() {
        for (status, fine) in [(199, false), (200, true), (302, true), (399, true), (400, false), (503, false)] {
            assert_eq!(judge(status) == Answer::Passed, fine, "{status}");
        }
        assert_eq!(judge(500), Answer::Failed("HTTP probe failed with statuscode: 500".into()));
    }
}
