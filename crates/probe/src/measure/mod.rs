//! Measures one target: asks for its name, visits it, compares with the control, and looks closer at what fails.
//!
//! Each step gives owned results; this file puts them in order and writes them down in OONI's form, with ours in
//! `x_daylight`. Innocuous handshakes come first: a censor that lets a blocked name's failure linger would spoil them.

mod clock;
mod matrix;
mod names;
pub(crate) mod quic;
mod throttle;
mod visit;
mod write;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_verdict::extras::{
    AddressKind, Combine, ControlVisit, Extras, Group, NameKind, QuicKind, Retest, Step, When,
};
use daylight_verdict::ooni::{ControlRequest, Failure, Measurement, TestKeys};
use jiff::Timestamp;

pub(crate) use self::clock::ms as clock_ms;
use self::clock::{Clock, ms};
use self::matrix::Cells;
use self::names::Names;
use self::visit::Visit;
use crate::all;
use crate::control::{Helpers, Source};
use crate::dns::{self, RecordType};
use crate::evidence::{self, Packet, Recorder};
use crate::http::{self, Request};
use crate::jar::Jar;
use crate::net::connect;
use crate::plan::{Item, Need, Scheme, Target};
use crate::settings::{ControlSite, Settings};
use crate::tls::{Hello, Roots, handshake};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// Addresses of a redirect's host that are tried.
const REDIRECT_ADDRESSES_MAX: usize = 3;
/// Addresses at which the matrix is measured: one of each family.
const MATRIX_ADDRESSES_MAX: usize = 2;
/// The layout of [`Extras`].
const EXTRAS_VERSION: u32 = 1;

/// What all measurements of a run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// How it is measured.
    pub settings: Settings,
    /// The authorities that are believed.
    pub roots: Roots,
    /// The control.
    pub helpers: Helpers,
    /// When the run began.
    pub started: Timestamp,
    /// What hears the probe's own packets, where it may.
    pub recorder: Option<Arc<Recorder>>,
    /// The program's version.
    pub version: String,
    /// What is to be said of the run in each measurement.
    pub annotations: BTreeMap<String, String>,
}

/// A measurement, and what must not leave with it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The measurement.
    pub measurement: Measurement,
    /// The probe's own addresses, as far as they were seen.
    pub own: Vec<IpAddr>,
    /// The packets of connections in which something is not the server's.
    pub evidence: Vec<Packet>,
}

/// Looks the control's addresses up, if none are given: with the resolvers, so that one who lies can't give them all. Its
/// server is also taken for an address where no resolver is, if none is given.
pub async fn find_control(settings: &mut Settings, roots: &Roots) {
    if settings.control.addresses.is_empty() {
        settings.control.addresses = control_addresses(settings, roots).await;
    }
    if settings.non_resolver.is_none() {
        settings.non_resolver =
            settings.control.addresses.first().map(|address| SocketAddr::new(*address, 53));
    }
}

async fn control_addresses(settings: &Settings, roots: &Roots) -> Vec<IpAddr> {
    let host = settings.control.host.as_str();
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let patience = settings.waits.dns;
    // Those that are encrypted stand last in the list, and are the hardest to lie for.
    let asking = settings.resolvers.iter().rev().map(|to| dns::ask(to, host, RecordType::A, patience, roots));
    let found =
        all(asking).await.into_iter().map(|exchange| exchange.addresses()).find(|found| !found.is_empty());
    match found {
        Some(found) => found,
        None => settings.lookup(host).await.addresses,
    }
}

/// Measures one target.
pub async fn measure(item: &Item, shared: &Shared) -> Measured {
    let began = Timestamp::now();
    let clock = Clock(Instant::now());
    let mut work = Work::new(item, shared, clock);
    let book = shared.recorder.as_ref().map(|recorder| recorder.open_book());
    evidence::into_book(book, work.run()).await;
    let runtime = clock.0.elapsed();
    let measurement = write::measurement(item, shared, began, runtime, work.keys);
    Measured { measurement, own: work.own, evidence: work.evidence }
}

struct Work<'a> {
    target: &'a Target,
    shared: &'a Shared,
    clock: Clock,
    keys: TestKeys,
    extras: Extras,
    transaction: i64,
    own: Vec<IpAddr>,
    evidence: Vec<Packet>,
}

impl<'a> Work<'a> {
    fn new(item: &'a Item, shared: &'a Shared, clock: Clock) -> Self {
        let group = item.service.as_ref().map(|service| Group {
            name: service.clone(),
            combine: match item.need {
                Some(Need::Any) => Combine::AnyOf,
                _ => Combine::AllOf,
            },
        });
        let category = item.category.clone();
        let extras = Extras { version: EXTRAS_VERSION, category, group, ..Extras::default() };
        let keys = TestKeys { agent: Some("redirect".to_owned()), ..TestKeys::default() };
        Self {
            target: &item.target,
            shared,
            clock,
            keys,
            extras,
            transaction: 0,
            own: Vec::new(),
            evidence: Vec::new(),
        }
    }

    fn settings(&self) -> &'a Settings {
        &self.shared.settings
    }

    fn next(&mut self) -> i64 {
        self.transaction += 1;
        self.transaction
    }

    fn cells(&self) -> Cells<'a> {
        Cells { target: self.target, settings: self.settings(), roots: &self.shared.roots, clock: self.clock }
    }

    async fn run(&mut self) {
        let (settings, roots) = (self.settings(), &self.shared.roots);
        let before = visit_control(&settings.control, When::Before, settings, roots);
        let names = async {
            match self.target.address() {
                Some(_) => Names::default(),
                None => names::resolve(self.target.host(), settings, roots).await,
            }
        };
        let (before, names) = tokio::join!(before, names);
        self.extras.controls.extend(before);
        self.write_names(&names, 0);
        self.extras.dns = names.replies();

        let mut addresses: Vec<IpAddr> =
            self.target.address().map_or_else(|| names.addresses(), |address| vec![address]);
        let system = self.target.address().map_or_else(|| names.system(), |address| vec![address]);
        self.ask_control(&mut addresses).await;

        if settings.steps.matrix {
            self.innocuous_cells(&addresses).await;
        }
        let mut visits = visit::open_all(self.target, &addresses, &system, settings, roots).await;
        let request = self.pages(&mut visits).await;
        let failed = self.write_visits(&visits, request.as_ref());
        if let Some(chosen) = visits.iter().find(|visit| visit.page.is_some()) {
            self.follow(chosen).await;
        }
        // The newest first, as OONI writes them.
        self.keys.requests.reverse();

        if settings.steps.retests
            && let Some((step, to, at)) = &failed
        {
            self.retest(*step, *to, *at, true).await;
        }
        self.look_closer(&addresses, &visits).await;
        if settings.steps.retests
            && let Some((step, to, at)) = failed
        {
            self.retest(step, to, at, false).await;
        }
        if settings.steps.locate {
            self.extras.traces = crate::locate::locate(self.target, &addresses, settings, roots).await;
        }
        let after = visit_control(&settings.control, When::After, settings, roots).await;
        self.extras.controls.extend(after);
        self.look_at_packets().await;
        self.keys.x_daylight = Some(Box::new(std::mem::take(&mut self.extras)));
    }

    /// Which of the packets that were heard are not the servers'.
    async fn look_at_packets(&mut self) {
        let Some(book) = evidence::book() else { return };
        let kept = book.take().await;
        for packet in &kept {
            self.note_own(packet.own);
        }
        let found = evidence::find(kept);
        self.extras.injected = found.injected;
        self.evidence = found.packets;
    }

    /// Notes an address that is to be taken out of what is written. A loopback address is everybody's, and a forged answer may hold it.
    fn note_own(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if !address.is_loopback() && !self.own.contains(&address) {
            self.own.push(address);
        }
    }

    fn write_names(&mut self, names: &Names, depth: usize) {
        let id = self.next();
        self.keys.queries.extend(names.queries(self.clock, depth, id));
        self.keys.x_dns_duplicate_responses.extend(names.duplicates(self.clock, id));
    }

    /// Asks the helper, and adds the addresses that it alone knows.
    async fn ask_control(&mut self, addresses: &mut Vec<IpAddr>) {
        if !matches!(self.target.scheme(), Scheme::Http | Scheme::Https) {
            return;
        }
        let port = self.target.port();
        let headers = [
            ("Accept", http::BROWSER_ACCEPT),
            ("Accept-Language", http::BROWSER_LANGUAGE),
            ("User-Agent", http::BROWSER),
        ];
        let mut tcp_connect: Vec<_> =
            addresses.iter().map(|address| SocketAddr::new(*address, port).to_string()).collect();
        if self.target.scheme() == Scheme::Http && port == 80 {
            tcp_connect.extend(addresses.iter().map(|address| SocketAddr::new(*address, 443).to_string()));
        }
        let request = ControlRequest {
            http_request: self.target.input().to_owned(),
            http_request_headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
                .collect(),
            tcp_connect,
            x_quic_enabled: self.settings().steps.quic && self.target.scheme() == Scheme::Https,
        };
        let answer =
            self.shared.helpers.ask(&request, &self.shared.roots, self.settings().waits.helper).await;
        if let Some(control) = &answer.control {
            for address in control.dns.addrs.iter().filter_map(|text| text.parse().ok()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        if let Some(Source::Pack(made)) = answer.source {
            self.extras.control_made = Some(made.to_string());
        }
        self.keys.x_control_request = Some(request);
        self.keys.control = answer.control;
        self.keys.control_failure = answer.failure;
    }

    /// One address of each family, at which the matrix is measured.
    fn corners(&self, addresses: &[IpAddr]) -> Vec<SocketAddr> {
        let port = match self.target.scheme() {
            Scheme::Http if self.target.port() == 80 => 443,
            _ => self.target.port(),
        };
        let first = |v4: bool| addresses.iter().copied().find(|address| address.is_ipv4() == v4);
        [first(true), first(false)]
            .into_iter()
            .flatten()
            .take(MATRIX_ADDRESSES_MAX)
            .map(|address| SocketAddr::new(address, port))
            .collect()
    }

    async fn innocuous_cells(&mut self, addresses: &[IpAddr]) {
        let cells = self.cells();
        if matches!(self.target.scheme(), Scheme::Https | Scheme::Tls) {
            let corners = self.corners(addresses);
            let work = corners.iter().flat_map(|to| {
                [NameKind::Control, NameKind::None].map(|kind| cells.tls(kind, AddressKind::Target, *to))
            });
            self.extras.tls_matrix.extend(all(work).await.into_iter().flatten());
        } else if self.target.scheme() == Scheme::Http {
            let port = self.target.port();
            let corners: Vec<_> =
                self.corners(addresses).iter().map(|to| SocketAddr::new(to.ip(), port)).collect();
            let work = corners.iter().map(|to| cells.http(NameKind::Control, AddressKind::Target, *to));
            self.extras.http.extend(all(work).await);
        }
    }

    /// Asks for the page at every address that lets us: whole at the first, its beginning at the others.
    async fn pages(&mut self, visits: &mut [Visit]) -> Option<Request> {
        if !matches!(self.target.scheme(), Scheme::Http | Scheme::Https) {
            return None;
        }
        let host = http::authority(self.target.url());
        let request = Request::visit(self.target.url(), &host, "").ok()?;
        let (whole, wait) = (self.settings().body_bytes_max, self.settings().waits.http);
        // The system's resolver's come first in the list: what an ordinary program would get is what counts.
        let mut chosen = false;
        let mut others = Vec::new();
        for visit in visits.iter_mut().filter(|visit| !visit.experiment && visit.failure().is_none()) {
            if chosen {
                others.push(visit);
            } else {
                visit::fetch(visit, &request, whole, wait).await;
                chosen = true;
            }
        }
        let asked = all(others.into_iter().map(|visit| {
            let request = &request;
            async move {
                visit::fetch(visit, request, 8 << 10, wait).await;
                let page = visit.page.take();
                page.map(|page| matrix::other_page(visit.to, &page))
            }
        }))
        .await;
        self.extras.http.extend(asked.into_iter().flatten());
        Some(request)
    }

    /// Writes the visits down, and gives the first that failed where an ordinary program would have gone.
    fn write_visits(
        &mut self,
        visits: &[Visit],
        request: Option<&Request>,
    ) -> Option<(Step, SocketAddr, Instant)> {
        let mut failed = None;
        for visit in visits {
            let id = self.next();
            self.write_visit(visit, request, self.target, 0, id);
            if visit.experiment {
                continue;
            }
            let page = visit.page.as_ref().and_then(|page| page.failure.as_ref().map(|_| page.ended));
            let shaken = visit.handshake.as_ref();
            let found = match (&visit.connect, shaken, page) {
                (_, _, Some(at)) => Some((Step::Http, at)),
                (_, Some(shaken), _) if shaken.failure.is_some() => Some((Step::Tls, shaken.ended)),
                (connect, None, None) if connect.failure.is_some() => Some((Step::Tcp, connect.ended)),
                _ => None,
            };
            if let Some((step, at)) = found
                && failed.is_none()
            {
                failed = Some((step, visit.to, at));
            }
        }
        failed
    }

    fn write_visit(
        &mut self,
        visit: &Visit,
        request: Option<&Request>,
        target: &Target,
        depth: usize,
        id: i64,
    ) {
        if let Some(from) = visit.connect.from {
            self.note_own(from.ip());
        }
        let written = visit::write(visit, request, target, self.clock, depth, id);
        self.keys.tcp_connect.push(written.connect);
        self.keys.tls_handshakes.extend(written.handshake);
        self.keys.requests.extend(written.transaction);
        self.keys.network_events.extend(written.events);
    }

    /// Follows redirects, with cookies, as a browser does.
    async fn follow(&mut self, first: &Visit) {
        let (settings, roots) = (self.settings(), &self.shared.roots);
        let mut jar = Jar::default();
        let mut target = self.target.clone();
        let mut page = first.page.clone();
        for depth in 1..=REDIRECTS_MAX {
            let Some(response) = page.as_ref().and_then(|page| page.response.as_ref()) else { return };
            jar.take(target.host(), response);
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return;
            }
            let Some(next) = response.header("Location").and_then(|place| target.redirected(place).ok())
            else {
                return;
            };
            if !matches!(next.scheme(), Scheme::Http | Scheme::Https) {
                return;
            }
            target = next;
            let names = match target.address() {
                Some(_) => Names::default(),
                None => names::resolve_again(target.host(), settings).await,
            };
            self.write_names(&names, depth);
            let addresses = target.address().map_or_else(|| names.system(), |address| vec![address]);
            let Ok(request) =
                Request::visit(target.url(), &http::authority(target.url()), &jar.cookies(target.host()))
            else {
                return;
            };
            page = None;
            for address in addresses.into_iter().take(REDIRECT_ADDRESSES_MAX) {
                let to = SocketAddr::new(address, target.port());
                let tls = target.scheme() == Scheme::Https;
                let mut visit = visit::open(&target, to, tls, true, settings, roots).await;
                if visit.failure().is_none() {
                    visit::fetch(&mut visit, &request, settings.body_bytes_max, settings.waits.http).await;
                }
                let id = self.next();
                self.write_visit(&visit, Some(&request), &target, depth, id);
                if visit.page.is_some() {
                    page = visit.page;
                    break;
                }
            }
        }
    }

    /// What remains of the matrix, QUIC, and the pairs.
    async fn look_closer(&mut self, addresses: &[IpAddr], visits: &[Visit]) {
        let (settings, roots, cells) = (self.settings(), &self.shared.roots, self.cells());
        let speaks_tls = matches!(self.target.scheme(), Scheme::Https | Scheme::Tls);
        let control_at = settings.control.addresses.first().copied();
        let corners = self.corners(addresses);
        if settings.steps.matrix && speaks_tls {
            let own = corners.iter().flat_map(|to| {
                [NameKind::Target, NameKind::Split, NameKind::EchGrease]
                    .map(|kind| (kind, AddressKind::Target, *to))
            });
            let elsewhere = control_at.map(|address| {
                (NameKind::Target, AddressKind::Control, SocketAddr::new(address, settings.control.port))
            });
            let work = own.chain(elsewhere).map(|(kind, at, to)| cells.tls(kind, at, to));
            self.extras.tls_matrix.extend(all(work).await.into_iter().flatten());
        }
        if settings.steps.matrix
            && self.target.scheme() == Scheme::Http
            && let Some(address) = control_at
        {
            let to = SocketAddr::new(address, settings.control.http_port);
            let cell = cells.http(NameKind::Target, AddressKind::Control, to).await;
            self.extras.http.push(cell);
        }
        if settings.steps.quic && self.target.scheme() == Scheme::Https {
            self.quic(&corners).await;
        }
        if settings.steps.throttling
            && let Some(to) = self.worth_timing(visits)
        {
            self.extras.throttling = throttle::pairs(self.target, to, settings, roots).await;
        }
    }

    async fn quic(&mut self, corners: &[SocketAddr]) {
        let settings = self.settings();
        let Some(to) = corners.first().copied() else { return };
        let control_at = settings.control.addresses.first().copied();
        let (own, control) = (self.target.host(), settings.control.host.as_str());
        let at = |kind, name, at, to| {
            let server_name = match name {
                NameKind::Target => own,
                NameKind::Control => control,
                _ => "",
            };
            quic::Attempt { kind, name, server_name, at, to }
        };
        let (handshake, ping) = (QuicKind::Handshake, QuicKind::VersionNegotiation);
        let (roots, wait) = (&self.shared.roots, settings.waits.quic);
        let control_to = control_at.map(|address| SocketAddr::new(address, settings.control.port));
        let elsewhere = async |name| match control_to {
            Some(to) => quic::attempt(&at(handshake, name, AddressKind::Control, to), roots, wait).await,
            None => Vec::new(),
        };
        let here = at(handshake, NameKind::Control, AddressKind::Target, to);
        let ping = at(ping, NameKind::None, AddressKind::Target, to);
        // A name's block may linger, and fall on all that goes to the same port: it comes last.
        let (innocuous, control) =
            tokio::join!(quic::attempt_or_refused(&here, &ping, roots, wait), elsewhere(NameKind::Control),);
        let is_offered = !quic::is_refused(&innocuous);
        self.extras.quic.extend(innocuous.into_iter().chain(control));
        let here = async {
            let what = at(handshake, NameKind::Target, AddressKind::Target, to);
            if is_offered { quic::attempt(&what, roots, wait).await } else { Vec::new() }
        };
        let (here, control) = tokio::join!(here, elsewhere(NameKind::Target));
        self.extras.quic.extend(here.into_iter().chain(control));
    }

    /// Where pairs of transfers can tell something: the handshake went well, and the page is long enough, or broke off.
    fn worth_timing(&self, visits: &[Visit]) -> Option<SocketAddr> {
        let visit = visits.iter().find(|visit| visit.page.is_some())?;
        let page = visit.page.as_ref()?;
        let bytes = page.response.as_ref().map_or(0, |response| response.body.len() as u64);
        // Without TLS, a request that gets nothing at all is not slow. With it the name has passed by then.
        let begun = page.response.is_some() || self.target.scheme() == Scheme::Https;
        let broke_off = begun && page.failure.as_ref().is_some_and(Failure::is_timeout);
        (broke_off || bytes >= throttle::BYTES_MIN).then_some(visit.to)
    }

    /// Repeats what failed: with the control's name at once, with the target's after a pause. What fails at once with an
    /// innocuous name, and not before, is blocking that lingers.
    async fn retest(&mut self, step: Step, to: SocketAddr, failed_at: Instant, at_once: bool) {
        let settings = self.settings();
        let (kind, name) = if at_once {
            (NameKind::Control, settings.control.host.as_str())
        } else {
            tokio::time::sleep_until((failed_at + settings.waits.retest).into()).await;
            (NameKind::Target, self.target.host())
        };
        let after = Instant::now();
        let failure = self.repeat(step, name, to).await.err();
        self.extras.retests.push(Retest {
            step,
            name: kind,
            address: to.to_string(),
            fresh_port: true,
            after_ms: ms(after - failed_at),
            failure,
        });
    }

    async fn repeat(&self, step: Step, name: &str, to: SocketAddr) -> Result<(), Failure> {
        let (settings, roots) = (self.settings(), &self.shared.roots);
        let stream = connect(to, settings.waits.connect).await.into_stream()?;
        if step == Step::Tcp {
            return Ok(());
        }
        let request = Request::visit(self.target.url(), name, "")?;
        let page = if matches!(self.target.scheme(), Scheme::Https | Scheme::Tls) {
            let shaken = handshake(stream, &Hello::of(name), roots, settings.waits.handshake).await;
            if let Some(failure) = shaken.failure {
                return Err(failure);
            }
            if step == Step::Tls {
                return Ok(());
            }
            let stream = shaken.stream.ok_or(Failure::Eof)?;
            http::exchange(stream, &request, 8 << 10, settings.waits.http).await
        } else {
            http::exchange(stream, &request, 8 << 10, settings.waits.http).await
        };
        page.failure.map_or(Ok(()), Err)
    }
}

/// Visits the control: whether the network works at all. A good certificate can't be had from a captive portal.
async fn visit_control(
    site: &ControlSite,
    when: When,
    settings: &Settings,
    roots: &Roots,
) -> Option<ControlVisit> {
    let to = SocketAddr::new(*site.addresses.first()?, site.port);
    let begun = Instant::now();
    let outcome = async {
        let stream = connect(to, settings.waits.connect).await.into_stream()?;
        let shaken = handshake(stream, &Hello::of(&site.host), roots, settings.waits.handshake).await;
        match shaken.failure {
            Some(failure) => Err(failure),
            None => Ok(shaken.certificate_failure.is_none()),
        }
    };
    let outcome: Result<bool, Failure> = outcome.await;
    let took: Duration = begun.elapsed();
    Some(ControlVisit {
        when,
        url: format!("https://{}:{}/", site.host, site.port),
        as_expected: outcome == Ok(true),
        failure: outcome.err(),
        took_ms: ms(took),
    })
}
