//! Adversaries with what their kind asks for, each where its kind can stand.

use std::collections::HashSet;
use std::ops::Range;

use super::Check;
use crate::scenario::adversary::Placed;
use crate::scenario::error::better;

impl Check<'_> {
    pub(super) fn adversaries(&mut self) {
        let scenario = self.scenario;
        let mut names = HashSet::new();
        let on_links = scenario.link.iter().flat_map(|l| &l.adversary).map(|table| (table, false));
        let in_networks = scenario.network.values().flat_map(|n| &n.adversary).map(|table| (table, true));
        for (table, in_network) in on_links.chain(in_networks) {
            let placed = match Placed::read(table.get_ref()) {
                Ok(placed) => placed,
                Err(why) => {
                    let (wrong, what) = better(&why);
                    let span = wrong.and_then(|wrong| self.key(table.span(), &wrong));
                    self.problem(span.unwrap_or_else(|| table.span()), what);
                    continue;
                }
            };
            if !names.insert(placed.name.clone()) {
                self.problem(table.span(), format!("there are two adversaries {:?}", placed.name));
            }
            let kind = placed.config.kind();
            match (placed.config.routes(), in_network) {
                (true, false) => {
                    let what = format!(
                        "{kind} ends connections itself, so it needs a router: write it under [[network.NAME.adversary]]"
                    );
                    self.problem(table.span(), what);
                }
                (false, true) => {
                    let what = format!("{kind} looks at packets: write it under the [[link]] that they pass");
                    self.problem(table.span(), what);
                }
                _ => {}
            }
        }
    }

    /// Where a key or a value stands in the table that begins here: a table's own span need not reach further than its
    /// heading.
    fn key(&self, table: Range<usize>, wrong: &str) -> Option<Range<usize>> {
        let body = self.source.text.get(table.start..)?;
        let heading = body.find('\n').filter(|_| body.starts_with('[')).unwrap_or(0);
        let end = body.get(heading..)?.find("\n[").map_or(body.len(), |end| heading + end);
        let within = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        body.get(heading..end)?.match_indices(wrong).find_map(|(at, _)| {
            let (before, after) = (&body[..heading + at], &body[heading + at + wrong.len()..]);
            (!before.ends_with(within) && !after.starts_with(within)).then(|| {
                let start = table.start + heading + at;
                start..start + wrong.len()
            })
        })
    }
}
