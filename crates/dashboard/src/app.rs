//! From a request to its answer: who may ask, what for, and which part of the program answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_watch::Board;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::form_urlencoded;

use crate::ask::{Answer, Ask, AskError, Question, Ready};
use crate::auth::{self, Attempts, Session, Sessions, Tokens};
use crate::live::Live;
use crate::networks::Networks;
use crate::options::{Options, ServeError, Transport};
use crate::request::{self, Asked, Theme};
use crate::response::{self, Body};
use crate::{api, assets, pages};

/// The largest form.
const FORM_LEN_MAX: usize = 16 << 10;
/// Within so long it must be there.
const FORM_TIME: Duration = Duration::from_secs(10);
/// Passwords that are hashed at a time, some 20 MB each.
const HASHED_MAX: usize = 2;

/// Where what is shown comes from; what is absent is said on the pages, with what to do about it.
#[derive(Clone, Default)]
pub struct Data {
    /// What the network does now.
    pub live: Option<Arc<Board>>,
    /// What it did.
    pub ask: Option<Arc<dyn Ask>>,
    /// Which networks addresses belong to.
    pub networks: Option<Arc<Networks>>,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data").field("live", &self.live.is_some()).field("ask", &self.ask.is_some()).finish()
    }
}

/// What answers requests.
pub(crate) struct App {
    pub(crate) options: Options,
    pub(crate) live: Option<Live>,
    pub(crate) networks: Option<Arc<Networks>>,
    ask: Option<Arc<dyn Ask>>,
    asking: Handle,
    questions: Semaphore,
    sessions: Sessions,
    attempts: Attempts,
    tokens: Tokens,
    hashing: Arc<Semaphore>,
    names: Vec<String>,
}

/// Who asks: with a session, or with nothing but a cookie that forms are bound to.
pub(crate) struct Visit {
    pub(crate) user: Option<String>,
    /// For forms.
    pub(crate) token: String,
    /// Of the session, if there is one.
    pub(crate) secret: Option<String>,
    /// A cookie to be set.
    seed: Option<String>,
}

impl App {
    pub(crate) fn new(
        options: &Options,
        data: Data,
        asking: Handle,
        port: u16,
    ) -> Result<Arc<Self>, ServeError> {
        let no_random = || ServeError::Start(std::io::Error::other("the system gives no random numbers"));
        let mut options = options.clone();
        options.listen.set_port(port);
        let own = [
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
            options.listen.ip().to_string(),
        ];
        let is_guarded = options.passwords.is_some();
        let names = match options.names.is_empty() {
            false => options.names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            true if is_guarded => Vec::new(),
            true => own.to_vec(),
        };
        Ok(Arc::new(Self {
            sessions: Sessions::new(options.session_idle, options.session_absolute),
            attempts: Attempts::default(),
            tokens: Tokens::new().ok_or_else(no_random)?,
            hashing: Arc::new(Semaphore::new(HASHED_MAX)),
            questions: Semaphore::new(options.questions_max.max(1)),
            live: data.live.map(Live::start),
            networks: data.networks,
            ask: data.ask,
            asking,
            names,
            options,
        }))
    }

    /// Ends what goes on and on.
    pub(crate) fn stop(&self) {
        if let Some(live) = &self.live {
            live.stop();
        }
    }

    /// True if there are records to be asked about.
    pub(crate) fn has_store(&self) -> bool {
        self.ask.is_some()
    }

    /// Questions that have a name.
    pub(crate) fn ready(&self) -> Vec<Ready> {
        self.ask.as_ref().map(|ask| ask.ready()).unwrap_or_default()
    }

    /// Asks the store, on threads of its own.
    pub(crate) async fn ask(&self, mut question: Question) -> Result<Answer, AskError> {
        let ask =
            self.ask.clone().ok_or_else(|| AskError::Store("no store of records was named".to_owned()))?;
        let time = question.limits.time.min(self.options.question_time);
        question.limits.time = time;
        let place = tokio::time::timeout(Duration::from_secs(20), self.questions.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(AskError::Busy) };
        let rows_max = question.limits.rows;
        let task = self.asking.spawn(async move { ask.ask(&question).await });
        // Who goes away ends the question.
        let _end = EndWith(task.abort_handle());
        match tokio::time::timeout(time, task).await {
            Err(_) => Err(AskError::Slow(time.as_secs())),
            Ok(Err(_)) => Err(AskError::Store(
                "the engine has failed at this question; see the program's log".to_owned(),
            )),
            Ok(Ok(answer)) => answer.map(|mut answer| {
                answer.truncated |= answer.rows.len() > rows_max;
                answer.rows.truncate(rows_max);
                answer
            }),
        }
    }

    /// Says again and again whether this session may go on looking.
    pub(crate) fn watchdog(self: &Arc<Self>, secret: Option<String>) -> impl Fn() -> bool + Send + use<> {
        let app = Arc::clone(self);
        move || app.may_go_on(secret.as_deref())
    }

    /// True while this session may go on looking.
    fn may_go_on(&self, secret: Option<&str>) -> bool {
        self.options.passwords.is_none()
            || secret.is_some_and(|secret| self.sessions.is_open(secret, Instant::now()))
    }

    /// Answers a request.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        let is_tls = self.is_tls(&request);
        let response = Arc::clone(&self).route(request, peer, is_tls).await;
        response::secured(response, is_tls)
    }

    fn is_tls(&self, request: &Request<Incoming>) -> bool {
        let proxied = || {
            let value = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.trim().eq_ignore_ascii_case("https"))
        };
        self.options.is_tls() || (matches!(self.options.transport, Transport::BehindProxy) && proxied())
    }

    async fn route(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
        is_tls: bool,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let plain = |status, text: &'static str| response::answer(status, response::TEXT, text);
        let host = request::host(&parts.headers);
        if !self.names.is_empty() && !host.as_ref().is_some_and(|host| self.names.contains(host)) {
            return plain(
                StatusCode::MISDIRECTED_REQUEST,
                "This dashboard doesn't go by that name. Ask for it by its address, or give it the name when it is started.\n",
            );
        }
        let peer = self.reader(&parts.headers, peer);
        let Some(asked) = Asked::read(parts, peer, is_tls, crate::range::now_ns()) else {
            return plain(StatusCode::BAD_REQUEST, "The address can't be read.\n");
        };
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        if let ["static", name] = path.as_slice() {
            return assets::answer(name, &asked);
        }
        if asked.method == Method::POST {
            let form = match tokio::time::timeout(FORM_TIME, Limited::new(body, FORM_LEN_MAX).collect()).await
            {
                Ok(Ok(form)) => form,
                Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large.\n"),
                Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "The form came too slowly.\n"),
            };
            let form = form.to_bytes();
            let pairs: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
            return self.posted(&asked, &path, &pairs).await;
        }
        drop(body);
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This can be read (GET, HEAD) only.\n");
            response::set(&mut response, header::ALLOW, "GET, HEAD");
            return response;
        }
        let Some(visit) = self.visit(&asked) else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "The system gives no random numbers.\n");
        };
        let is_known = self.options.passwords.is_none() || visit.user.is_some();
        let mut response = match path.as_slice() {
            ["login"] if !is_known => pages::login::page(&self, &asked, &visit, None),
            ["login"] => response::see_other("/"),
            _ if !is_known && asked.is_api() => {
                api::error(StatusCode::UNAUTHORIZED, "login", "log in at /login first")
            }
            _ if !is_known => {
                let next: String = form_urlencoded::Serializer::new(String::new())
                    .append_pair("next", &asked.address)
                    .finish();
                response::see_other(&format!("/login?{next}"))
            }
            ["api", "v1", rest @ ..] => api::answer(&self, &asked, &visit, rest).await,
            _ => pages::answer(&self, &asked, &visit, &path).await,
        };
        if let Some(seed) = &visit.seed {
            set_cookie(&mut response, &asked, seed_name(&asked), seed, None);
        }
        response
    }

    /// Who asks, behind a proxy as that says.
    fn reader(&self, headers: &header::HeaderMap, peer: IpAddr) -> IpAddr {
        if !matches!(self.options.transport, Transport::BehindProxy) {
            return peer;
        }
        // The last is what the proxy itself added; those before are what anybody may claim.
        let mut all = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let last = all.next_back().and_then(|value| value.rsplit(',').next());
        last.and_then(|value| value.trim().parse().ok()).unwrap_or(peer)
    }

    fn session(&self, asked: &Asked) -> Option<(String, Session)> {
        let secret = asked.cookie(session_name(asked))?;
        let session = self.sessions.of(&secret, Instant::now())?;
        Some((secret, session))
    }

    fn visit(&self, asked: &Asked) -> Option<Visit> {
        if let Some((secret, session)) = self.session(asked) {
            let token = self.tokens.of(&secret);
            return Some(Visit { user: Some(session.user), token, secret: Some(secret), seed: None });
        }
        let seed = asked.cookie(seed_name(asked)).filter(|seed| seed.len() == 64);
        let (seed, is_new) = match seed {
            Some(seed) => (seed, false),
            None => (auth::random()?, true),
        };
        Some(Visit { user: None, token: self.tokens.of(&seed), secret: None, seed: is_new.then_some(seed) })
    }

    /// What forms do: log in and out, choose a language and colours.
    async fn posted(&self, asked: &Asked, path: &[&str], form: &[(String, String)]) -> Response<Body> {
        let get =
            |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let Some(visit) = self.visit(asked) else {
            return response::answer(StatusCode::SERVICE_UNAVAILABLE, response::TEXT, "No random numbers.\n");
        };
        let secret = visit.secret.clone().or_else(|| asked.cookie(seed_name(asked)));
        let is_ours = secret.is_some_and(|secret| self.tokens.is_of(get("token"), &secret));
        if !is_ours || asked.is_foreign() || !self.is_same_origin(asked) {
            return pages::login::forged(self, asked, &visit);
        }
        match path {
            ["login"] if self.options.passwords.is_some() => {
                self.log_in(asked, &visit, [get("user"), get("password"), get("next")]).await
            }
            ["logout"] => {
                visit.secret.iter().for_each(|secret| self.sessions.end(secret));
                let mut response = response::see_other("/login");
                set_cookie(&mut response, asked, session_name(asked), "", Some(0));
                response
            }
            ["settings"] => {
                let mut response = response::see_other(local(get("back")));
                const YEAR_S: u32 = 365 * 86_400;
                if let Some(locale) = crate::locale::Locale::named(get("language")) {
                    set_cookie(&mut response, asked, "daylight-language", locale.code, Some(YEAR_S));
                }
                if let Some(theme) = Theme::named(get("theme")) {
                    set_cookie(&mut response, asked, "daylight-theme", theme.name(), Some(YEAR_S));
                }
                response
            }
            _ => response::answer(StatusCode::NOT_FOUND, response::TEXT, "There is no such form.\n"),
        }
    }

    /// A browser says on a form's request where it was sent from.
    fn is_same_origin(&self, asked: &Asked) -> bool {
        let origin = asked.header(&header::ORIGIN);
        let scheme = if asked.is_tls { "https" } else { "http" };
        origin.is_empty() || origin == format!("{scheme}://{}", asked.header(&header::HOST))
    }

    async fn log_in(
        &self,
        asked: &Asked,
        visit: &Visit,
        [user, password, next]: [&str; 3],
    ) -> Response<Body> {
        if let Err(wait) = self.attempts.begin(asked.peer, user, Instant::now()) {
            let failed = pages::login::Failed::Wait(wait.as_secs() + 1);
            return pages::login::page(self, asked, visit, Some(failed));
        }
        // Read anew, so that a changed password is in force at once.
        let passwords = self.options.passwords.as_deref().map(auth::Passwords::read);
        let Some(Ok(passwords)) = passwords else {
            return pages::login::page(self, asked, visit, Some(pages::login::Failed::File));
        };
        let (hash, is_user) = passwords.hash_of(user);
        let Ok(place) = Arc::clone(&self.hashing).acquire_owned().await else {
            return pages::login::page(self, asked, visit, Some(pages::login::Failed::Wrong));
        };
        let given = password.to_owned();
        let verified = tokio::task::spawn_blocking(move || {
            let verified = auth::verify(&given, &hash);
            drop(place);
            verified
        });
        if !(verified.await.unwrap_or(false) && is_user) {
            return pages::login::page(self, asked, visit, Some(pages::login::Failed::Wrong));
        }
        self.attempts.succeeded(asked.peer, user);
        let Some(secret) = self.sessions.begin(user, Instant::now()) else {
            return pages::login::page(self, asked, visit, Some(pages::login::Failed::File));
        };
        // A session that was there before is another one's.
        visit.secret.iter().for_each(|secret| self.sessions.end(secret));
        let mut response = response::see_other(local(next));
        set_cookie(&mut response, asked, session_name(asked), &secret, None);
        response
    }
}

struct EndWith(tokio::task::AbortHandle);

impl Drop for EndWith {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With the prefix, a browser takes the cookie from this host alone, and over TLS alone (RFC 6265bis §4.1.3).
fn session_name(asked: &Asked) -> &'static str {
    if asked.is_tls { "__Host-daylight-session" } else { "daylight-session" }
}

fn seed_name(asked: &Asked) -> &'static str {
    if asked.is_tls { "__Host-daylight-seed" } else { "daylight-seed" }
}

fn set_cookie(response: &mut Response<Body>, asked: &Asked, name: &str, value: &str, age_s: Option<u32>) {
    let secure = if asked.is_tls { "; Secure" } else { "" };
    let age = age_s.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    response::set(response, HeaderName::from_static("set-cookie"), &cookie);
}

/// An address of this server's, or the first page: nobody is led elsewhere.
fn local(address: &str) -> &str {
    let is_path = address.starts_with('/') && !address.starts_with("//") && !address.contains('\\');
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_plain && address.len() < 8192 { address } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(local("/hosts?range=7d"), "/hosts?range=7d");
        for elsewhere in
            ["", "hosts", "//example.org", "https://example.org", "/\\example.org", "/a\r\nb", "/\t/x"]
        {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }
}
