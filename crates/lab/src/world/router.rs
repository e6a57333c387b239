//! What stands in a network's router: Daylight's filter, a program, and adversaries that end connections themselves, to whom
//! the kernel sends them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use super::Namespace;
use super::filter::FilterBox;
use super::program::Program;
use crate::LabError;
use crate::adversary::proxy::Running;
use crate::adversary::{AdversaryConfig, AdversaryCounters};
use crate::scenario::adversary::Placed;
use crate::scenario::model::Network;

/// The interface by which customers' packets come in.
const CUSTOMERS: &str = "lan";

/// What stands in a router.
pub struct Router {
    namespace: Namespace,
    proxies: BTreeMap<String, Proxy>,
    filter: Option<FilterBox>,
    program: Option<Program>,
}

struct Proxy {
    config: AdversaryConfig,
    running: Option<Running>,
    /// What those that have ended counted.
    before: Vec<AdversaryCounters>,
}

impl Router {
    /// Starts what there is, adversaries only if they are on from the start; with why one of these does not run, for each that
    /// doesn't. `folder` is that of the run, and gets logs; relative paths start at `base`.
    ///
    /// # Errors
    /// If a program or the filter does not start.
    pub(crate) fn new(
        namespace: Namespace,
        network: &Network,
        folder: &Path,
        base: &Path,
        problems: &mut Vec<String>,
    ) -> Result<Self, LabError> {
        let filter =
            network.filter.as_ref().map(|f| FilterBox::start(&namespace, f, folder, base)).transpose()?;
        let log = folder.join(format!("router-{}.txt", namespace.name));
        let program =
            network.program.as_ref().map(|p| Program::start(&namespace, p.get_ref(), &log)).transpose()?;
        let mut this = Self { namespace, proxies: BTreeMap::new(), filter, program };
        for table in &network.adversary {
            match Placed::read(table.get_ref()) {
                Ok(Placed { name, enabled, config }) => {
                    let proxy = Proxy { config, running: None, before: Vec::new() };
                    this.proxies.insert(name.clone(), proxy);
                    if enabled {
                        problems.extend(this.adversary(&name, true).err());
                    }
                }
                Err(why) => problems.push(why),
            }
        }
        Ok(this)
    }

    /// What went wrong by itself, in words: asked once, at the end of the timeline.
    pub fn trouble(&mut self) -> Vec<String> {
        let filter = self.filter.as_mut().and_then(FilterBox::trouble);
        filter.into_iter().chain(self.program.as_mut().and_then(Program::trouble)).collect()
    }

    /// Ends programs and the filter, so that their logs are whole.
    pub fn end_programs(&mut self) {
        if let Some(filter) = self.filter.take() {
            filter.end();
        }
        if let Some(mut program) = self.program.take() {
            program.end();
        }
    }

    /// Switches one on or off.
    ///
    /// # Errors
    /// With why it does not start, in words.
    pub fn adversary(&mut self, name: &str, enabled: bool) -> Result<(), String> {
        let Some(proxy) = self.proxies.get_mut(name) else {
            return Err(format!("adversary {name:?} does not stand in this network"));
        };
        if !enabled {
            if let Some(running) = proxy.running.take() {
                proxy.before.push(running.counters());
                // Its rule is in the router's namespace, and can be taken away only there.
                self.namespace.run(move || drop(running)).map_err(|e| e.to_string())?;
            }
            return Ok(());
        }
        if proxy.running.is_none() {
            let config = proxy.config.clone();
            let started = self.namespace.run(move || start(config)).map_err(|e| e.to_string())?;
            proxy.running = Some(started.map_err(|why| format!("adversary {name:?}: {why}"))?);
        }
        Ok(())
    }

    /// Those that run, or did.
    pub fn enacted(&self) -> Vec<String> {
        let ran = |proxy: &Proxy| proxy.running.is_some() || !proxy.before.is_empty();
        self.proxies.iter().filter(|(_, proxy)| ran(proxy)).map(|(name, _)| name.clone()).collect()
    }

    /// What each has counted, by name: one entry for each time that it was on.
    pub fn counters(&self) -> Value {
        let counted = |proxy: &Proxy| {
            json!(
                proxy
                    .before
                    .iter()
                    .copied()
                    .chain(proxy.running.as_ref().map(Running::counters))
                    .collect::<Vec<_>>()
            )
        };
        json!(
            self.proxies
                .iter()
                .map(|(name, proxy)| (name.as_str(), counted(proxy)))
                .collect::<BTreeMap<_, _>>()
        )
    }

    /// Ends everything, and takes the adversaries' rules away.
    pub fn finish(mut self) {
        self.end_programs();
        let running: Vec<Running> =
            self.proxies.values_mut().filter_map(|proxy| proxy.running.take()).collect();
        // An error says that the namespace is gone, and the rules with it.
        let _ = self.namespace.run(move || drop(running));
    }
}

/// Starts a proxy in the calling thread's namespace, for what comes from customers unless it is told otherwise.
fn start(config: AdversaryConfig) -> Result<Running, String> {
    let customers = || Some(CUSTOMERS.to_owned());
    let started = match config {
        AdversaryConfig::TlsInterception(mut config) => {
            config.interface = config.interface.or_else(customers);
            config.start().map(|interception| interception.into_running())
        }
        AdversaryConfig::HttpProxy(mut config) => {
            config.interface = config.interface.or_else(customers);
            config.start()
        }
        other => return Err(format!("{} looks at packets: it stands in a link", other.kind())),
    };
    started.map_err(|e| e.to_string())
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("proxies", &self.proxies.keys().collect::<Vec<_>>()).finish()
    }
}
