//! Stratum: how a miner of a cryptocurrency talks to its pool. JSON-RPC, one object a line, over TCP.
//!
//! There are three dialects: Bitcoin's (`mining.subscribe`, `mining.authorize`), Ethereum's (`eth_submitLogin`,
//! `eth_getWork`) and Monero's (`login` with an agent, answered by a `job` with a `blob`). What is claimed is a whole
//! object with a method of theirs, or a job that only a pool gives.

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, common, fields,
    risks,
};

fields! { ProtocolId::Stratum;
    METHOD: [Str] "method" "Methods called, by either side";
    WORKER: Str "worker" "Who mines: the pool's account or a wallet address, often with the machine's name";
    AGENT: Str "agent" "What the miner says it runs";
    DIALECT: Str "dialect" "bitcoin, ethereum or monero";
    ALGORITHM: [Str] "algorithm" "Algorithms that the miner offers or the pool chose";
}

risks! {
    CRYPTO_MINING: Medium Client "crypto-mining" "The client mines a cryptocurrency for a pool. Harmless where the owner of the machine wants it; else a sign of compromise.";
}

/// Stratum mining.
pub const PROTOCOL: Protocol = Protocol {
    name: "stratum",
    title: "Stratum mining protocol",
    family: Family::P2p,
    source: "Stratum V1; BIP 310; EIP-1571; Monero stratum",
    ports: &[],
    patterns: &[
        Pattern::tcp().min(2).starts(b"{\""),
        Pattern::tcp().min(2).starts(b"{ \""),
        Pattern::tcp().min(2).starts(b"{\n"),
    ],
    identify,
    parser: Some(|| Box::new(Stratum::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// An object longer than this is not waited for.
const OBJECT_MAX: usize = 16 * 1024;
/// Objects to read for the fields.
const OBJECTS_MAX: u8 = 12;

fn identify(p: &Probe<'_>) -> Verdict {
    let Some(object) = object(p.payload) else {
        return if p.payload.len() < OBJECT_MAX { Verdict::Need(p.payload.len() + 1) } else { Verdict::No };
    };
    match dialect(object) {
        None => Verdict::No,
        Some((_, Dir::Server)) if p.dir == Dir::Client && p.other.is_empty() => Verdict::YesReversed,
        Some(_) => Verdict::Yes,
    }
}

/// Which dialect an object is of, and which side says such a thing.
fn dialect(object: &[u8]) -> Option<(&'static str, Dir)> {
    if let Some(method) = member(object, "method").and_then(text) {
        let params = member(object, "params").unwrap_or_default();
        return Some(match method {
            b"mining.subscribe"
            | b"mining.authorize"
            | b"mining.configure"
            | b"mining.submit"
            | b"mining.extranonce.subscribe"
            | b"mining.suggest_difficulty"
            | b"mining.hello"
            | b"mining.suggest_target" => ("bitcoin", Dir::Client),
            b"mining.notify"
            | b"mining.set_difficulty"
            | b"mining.set_extranonce"
            | b"mining.set_target"
            | b"mining.set_version_mask"
            | b"mining.set" => ("bitcoin", Dir::Server),
            b"eth_submitLogin"
            | b"eth_login"
            | b"eth_submitHashrate"
            | b"eth_getWork"
            | b"eth_submitWork" => ("ethereum", Dir::Client),
            b"login" if member(params, "login").is_some() && member(params, "pass").is_some() => {
                ("monero", Dir::Client)
            }
            b"submit" if member(params, "nonce").is_some() && member(params, "result").is_some() => {
                ("monero", Dir::Client)
            }
            b"job" if is_job(params) => ("monero", Dir::Server),
            _ => return None,
        });
    }
    let result = member(object, "result")?;
    if member(result, "job").is_some_and(is_job) {
        return Some(("monero", Dir::Server));
    }
    // Answer to mining.subscribe: a list of lists, of which one names mining.notify.
    let subscribed = result.starts_with(b"[[") && find(result, b"\"mining.notify\"").is_some();
    subscribed.then_some(("bitcoin", Dir::Server))
}

fn is_job(value: &[u8]) -> bool {
    member(value, "blob").is_some() && member(value, "job_id").is_some()
}

#[derive(Default)]
struct Stratum {
    seen: u8,
    spoke: [bool; 2],
}

impl Parser for Stratum {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let empty = bytes.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0).count();
        if empty > 0 {
            return Step::Consumed(empty);
        }
        if bytes[0] != b'{' {
            return Step::Malformed(0);
        }
        let Some(object) = object(bytes.get(..OBJECT_MAX).unwrap_or(bytes)) else {
            return if bytes.len() < OBJECT_MAX { Step::Need(bytes.len() + 1) } else { Step::Malformed(0) };
        };
        self.read(dir, object, out);
        self.seen += 1;
        if self.seen < OBJECTS_MAX { Step::Consumed(object.len()) } else { Step::Finished }
    }
}

impl Stratum {
    fn read(&mut self, dir: Dir, object: &[u8], out: &mut Sink<'_>) {
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        if let Some((name, _)) = dialect(object) {
            out.set(DIALECT, name);
            out.risk(&CRYPTO_MINING, || format!("stratum.dialect={name}"));
        }
        let params = member(object, "params").unwrap_or_default();
        if let Some(algorithm) = member(params, "algo") {
            let names = if algorithm.starts_with(b"[") { elements(algorithm) } else { vec![algorithm] };
            for name in names.into_iter().filter_map(text) {
                out.push(ALGORITHM, Value::text(name));
            }
        }
        let Some(method) = member(object, "method").and_then(text) else { return };
        out.push(METHOD, Value::text(method.get(..64).unwrap_or(method)));
        let elements = elements(params);
        let first = elements.first().copied().and_then(text);
        let (worker, agent) = match method {
            b"mining.subscribe" => (None, first),
            b"mining.authorize" | b"mining.submit" | b"eth_submitLogin" | b"eth_login" => (first, None),
            b"login" => (member(params, "login").and_then(text), member(params, "agent").and_then(text)),
            _ => (None, None),
        };
        if let Some(worker) = worker {
            out.set_text(WORKER, worker);
        }
        if let Some(agent) = agent {
            out.set_text(AGENT, agent);
            if dir == Dir::Client {
                out.set_text(common::USER_AGENT, agent);
            }
        }
        // EthereumStratum names the machine beside the method.
        if let (b"eth_submitLogin", Some(name)) = (method, member(object, "worker").and_then(text)) {
            out.set_text(WORKER, name);
        }
    }
}

/// The JSON object that `bytes` start with, if it is there to its closing brace.
fn object(bytes: &[u8]) -> Option<&[u8]> {
    let len = skip_value(bytes)?;
    bytes.get(..len).filter(|o| o.starts_with(b"{"))
}

/// Length of the JSON value that `bytes` start with. Nesting is counted, not checked: mismatched brackets only make
/// for a value that no key is found in.
fn skip_value(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_len(&bytes[at..])?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth <= 1 {
                    return Some(at + depth);
                }
                depth -= 1;
            }
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Length of the JSON string that `bytes` start with, with its quotes.
fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What a quoted value holds, with escapes left as they are.
fn text(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The value of a key of an object, not of those inside it.
fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut rest = object.trim_ascii().strip_prefix(b"{")?.trim_ascii_start();
    while rest.first() == Some(&b'"') {
        let len = string_len(rest)?;
        let name = text(&rest[..len])?;
        rest = rest[len..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let len = skip_value(rest)?;
        if name == key.as_bytes() {
            return Some(rest[..len].trim_ascii());
        }
        rest = rest[len..].trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or_default().trim_ascii_start();
    }
    None
}

/// The first elements of an array.
fn elements(array: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let Some(mut rest) = array.trim_ascii().strip_prefix(b"[") else { return found };
    while found.len() < 8 {
        rest = rest.trim_ascii_start();
        let Some(len) = skip_value(rest).filter(|len| *len > 0) else { break };
        found.push(rest[..len].trim_ascii());
        let Some(after) = rest[len..].trim_ascii_start().strip_prefix(b",") else { break };
        rest = after;
    }
    found
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    #[test]
    fn bitcoin() {
        let client = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"cgminer/4.10.0\"]}\n\
            {\"params\": [\"slush.miner1\", \"secret\"], \"id\": 2, \"method\": \"mining.authorize\"}\n";
        let server =
            b"{\"id\": 1, \"result\": [[[\"mining.notify\", \"ae68\"]], \"08000002\", 4], \"error\": null}\n\
            {\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[2]}\n";
        let seen = Flow::tcp(3333).client(client).server(server).run_split();
        assert_eq!(seen.protocol, ProtocolId::Stratum);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(DIALECT), "bitcoin");
        assert_eq!(seen.show(WORKER), "slush.miner1");
        assert_eq!(seen.show(AGENT), "cgminer/4.10.0");
        assert_eq!(seen.show(METHOD), "mining.subscribe,mining.authorize,mining.set_difficulty");
        assert_eq!(seen.risks(), ["crypto-mining"]);
        assert!(!format!("{:?}", seen.found.fields).contains("secret"));
    }

    #[test]
    fn monero() {
        let client =
            b"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"4Awallet\",\
            \"pass\":\"x\",\"agent\":\"XMRig/6.21\",\"algo\":[\"rx/0\",\"cn/r\"]}}\n";
        let server = b"{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{\"id\":\"a\",\"job\":{\"blob\":\"0c0c\",\"job_id\":\"7\",\
            \"target\":\"b88d0600\"},\"status\":\"OK\"}}\n";
        let seen = Flow::tcp(443).client(client).server(server).run_split();
        assert_eq!(seen.show(DIALECT), "monero");
        assert_eq!(seen.show(WORKER), "4Awallet");
        assert_eq!(seen.show(common::USER_AGENT), "XMRig/6.21");
        assert_eq!(seen.show(ALGORITHM), "rx/0,cn/r");
        // Picked up at the pool's answer.
        let p = crate::testing::probe(crate::Transport::Tcp, server);
        assert_eq!(identify(&p), Verdict::YesReversed);
    }

    #[test]
    fn ethereum() {
        let client = b"{\"worker\":\"rig1\",\"jsonrpc\":\"2.0\",\"params\":[\"0xabc\",\"x\"],\"id\":2,\"method\":\"eth_submitLogin\"}\n";
        let seen = Flow::tcp(4444).client(client).run_split();
        assert_eq!(seen.show(DIALECT), "ethereum");
        assert_eq!(seen.show(WORKER), "0xabc");
    }

    #[test]
    fn other_json_is_not_claimed() {
        for text in [
            &b"{\"jsonrpc\": \"2.0\", \"method\": \"echo\", \"params\": [\"mining.subscribe\"], \"id\": 1}\n"
                [..],
            b"{\"method\":\"login\",\"params\":{\"user\":\"a\",\"pass\":\"b\"}}\n",
            b"{\"note\":{\"method\":\"mining.subscribe\"}}\n",
            b"{\"id\":1,\"result\":[[1,2]],\"error\":null}\n",
            b"{\"method\":\"mining.subscribe\",\"params\":[",
            b"{\"}{][,,,",
        ] {
            assert_eq!(Flow::tcp(3333).client(text).run().protocol, ProtocolId::Unknown);
        }
    }
}
