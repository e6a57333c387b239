//! Clients that do one thing each, and expectations that can hold.

use std::collections::HashSet;
use std::net::IpAddr;

use toml::Spanned;

use super::Check;
use crate::scenario::model::{Client, Expect};

impl Check<'_> {
    pub(super) fn clients(&mut self) {
        let scenario = self.scenario;
        let mut names = HashSet::new();
        for client in &scenario.client {
            self.host(&client.host);
            let at = client.name.as_ref().map_or_else(|| client.host.span(), Spanned::span);
            if !names.insert(client.name()) {
                self.problem(
                    at.clone(),
                    format!("there are two clients {:?}: give each a name", client.name()),
                );
            }
            let actions = [
                &client.fetch,
                &client.resolve,
                &client.ping,
                &client.connect,
                &client.datagram,
                &client.quic,
            ];
            let actions =
                actions.iter().filter(|a| a.is_some()).count() + usize::from(client.program.is_some());
            if actions != 1 {
                let what = format!(
                    "a client does one thing, not {actions}: fetch, resolve, ping, connect, datagram, quic or program"
                );
                self.problem(at, what);
            }
            self.client(client);
            for expect in &client.expect {
                self.expect(expect);
            }
        }
    }

    fn client(&mut self, client: &Client) {
        if let Some(url) = &client.fetch {
            if let Err(why) = crate::client::Url::parse(url.get_ref()) {
                self.problem(url.span(), why);
            }
            let resolver =
                self.scenario.host.get(client.host.get_ref().as_str()).map(|h| h.resolver.is_some());
            let literal =
                crate::client::Url::parse(url.get_ref()).is_ok_and(|u| u.host.parse::<IpAddr>().is_ok());
            if resolver == Some(false) && !literal {
                let what = format!("host {:?} has no resolver to ask for a name", client.host.get_ref());
                self.problem(url.span(), what);
            }
        }
        if let Some(http) = &client.http
            && !matches!(http.get_ref().as_str(), "1.1" | "2" | "3")
        {
            self.problem(http.span(), "http must be \"1.1\", \"2\" or \"3\"");
        }
        if let Some(http) = client.http.as_ref().filter(|http| http.get_ref() == "3")
            && client.fetch.as_ref().is_some_and(|url| !url.get_ref().starts_with("https:"))
        {
            self.problem(http.span(), "HTTP/3 is never without TLS: fetch an https URL");
        }
        if let Some(ip) = &client.ip
            && !matches!(ip.get_ref(), 4 | 6)
        {
            self.problem(ip.span(), "ip must be 4 or 6");
        }
        for (action, to) in
            [("connect", &client.connect), ("datagram", &client.datagram), ("quic", &client.quic)]
        {
            if let Some(to) = to
                && to.get_ref().rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err())
            {
                self.problem(to.span(), format!("{action} needs a port: \"host:443\""));
            }
        }
        if let Some(every) = &client.every
            && every.get_ref().seconds < 0.05
        {
            self.problem(every.span(), "every must be 50 ms at least: the lab is not a load generator");
        }
        if let Some(timeout) = &client.timeout
            && !(0.05..=600.0).contains(&timeout.get_ref().seconds)
        {
            self.problem(timeout.span(), "timeout must lie between 50 ms and 10 min");
        }
        if let Some(until) = &client.until {
            self.in_time(until);
        }
    }

    fn expect(&mut self, expect: &Expect) {
        for time in expect.from.iter().chain(&expect.until) {
            self.in_time(time);
        }
        for (name, value, most) in [
            ("share_percent_min", &expect.share_percent_min, 100.0),
            ("share_percent_max", &expect.share_percent_max, 100.0),
            ("latency_ms_min", &expect.latency_ms_min, 1e6),
            ("latency_ms_max", &expect.latency_ms_max, 1e6),
            ("rate_mbit_min", &expect.rate_mbit_min, 1e5),
            ("rate_mbit_max", &expect.rate_mbit_max, 1e5),
        ] {
            self.within(name, value.as_ref(), 0.0, most);
        }
        if let Some(share) = expect.share_percent_min.as_ref().or(expect.share_percent_max.as_ref())
            && expect.outcome.is_none()
        {
            self.problem(share.span(), "a share of what? Add outcome = \"…\"");
        }
    }
}
