//! Cookies of one visit. Paths, ages and the rest are not looked at: it is over in seconds.

use crate::http::Response;

/// So many cookies are kept.
const COOKIES_MAX: usize = 50;
/// None is longer.
const COOKIE_BYTES_MAX: usize = 4096;

/// Cookies: for which domain, name, value.
#[derive(Debug, Default)]
pub(crate) struct Jar(Vec<(String, String, String)>);

impl Jar {
    /// Takes what a response sets.
    pub(crate) fn take(&mut self, host: &str, response: &Response) {
        for (_, value) in response.headers.iter().filter(|(name, _)| name == "Set-Cookie") {
            let mut parts = value.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let domain = parts
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.eq_ignore_ascii_case("domain"))
                .map(|(_, domain)| domain.trim_start_matches('.').to_ascii_lowercase());
            // A site can set cookies for itself and for what it is part of.
            let domain = domain.filter(|domain| domain.contains('.') && is_within(host, domain));
            let domain = domain.unwrap_or_else(|| host.to_owned());
            self.0.retain(|(of, key, _)| !(*of == domain && key == name));
            if self.0.len() < COOKIES_MAX && value.len() <= COOKIE_BYTES_MAX {
                self.0.push((domain, name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The `Cookie` header for a host; empty if there is none.
    pub(crate) fn cookies(&self, host: &str) -> String {
        let fitting = self.0.iter().filter(|(domain, ..)| is_within(host, domain));
        fitting.map(|(_, name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_where_they_belong() {
        let set = |values: &[&str]| Response {
            headers: values.iter().map(|value| ("Set-Cookie".to_owned(), (*value).to_owned())).collect(),
            ..Response::default()
        };
        let mut jar = Jar::default();
        jar.take(
            "www.a.example",
            &set(&["own=1; Path=/", "all=2; Domain=.a.example", "bad=3; Domain=b.example", "x"]),
        );
        assert_eq!(jar.cookies("www.a.example"), "own=1; all=2; bad=3");
        assert_eq!(jar.cookies("a.example"), "all=2");
        assert_eq!(jar.cookies("b.example"), "");
        assert_eq!(jar.cookies("nota.example"), "");
        jar.take("www.a.example", &set(&["own=4"]));
        assert_eq!(jar.cookies("www.a.example"), "all=2; bad=3; own=4");
    }
}
