//! What the public log tells of a policy.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::audit::{self, AuditError, Entry, Label, Timestamp};
use crate::policy::Policy;
use crate::rule::{Action, Rule};

/// From here to the end of time, for rules whose end lies beyond what an entry can say.
const LATEST_S: i64 = 253_402_214_400;

/// What a path's segment holds as it is (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The path of a rule's page on the site of the public page: `/rule/POLICY/RULE`. It stays what it is as long as the log
/// does, also after the rule is gone.
pub fn rule_path(policy: &Label, rule: &Label) -> String {
    let [policy, rule] = [policy, rule].map(|name| utf8_percent_encode(name.as_str(), SEGMENT));
    format!("/rule/{policy}/{rule}")
}

impl Policy {
    /// The entries that say that it came into force: itself, its rules and its lists. They belong together.
    ///
    /// # Errors
    /// If a list's name or a condition can't be told; what loads can.
    pub fn entries(&self, time: Timestamp) -> Result<Vec<Entry>, AuditError> {
        let rules = self.rules().iter().map(|rule| self.rule_entry(rule)).collect::<Result<_, _>>()?;
        let lists = self.lists().iter().map(|list| {
            Ok(audit::List {
                policy: self.name().clone(),
                list: Label::new(list.name())?,
                digest: list.digest(),
                entries: list.report().entries as u64,
            })
        });
        let lists = lists.collect::<Result<_, AuditError>>()?;
        let terms = audit::Terms {
            matching: self.matching(),
            default: audit::Otherwise::Allow,
            timezone: Label::new(self.timezone())?,
        };
        Ok(Entry::policy_loaded(time, self.name(), self.digest(), Some(terms), rules, lists))
    }

    fn rule_entry(&self, rule: &Rule) -> Result<audit::Rule, AuditError> {
        Ok(audit::Rule {
            policy: self.name().clone(),
            rule: rule.name.clone(),
            action: match rule.action {
                Action::Allow => audit::Action::Allow,
                Action::Drop => audit::Action::Drop,
                Action::Limit(_) => audit::Action::Limit,
                Action::Log => audit::Action::Log,
                Action::Reject => audit::Action::Reject,
            },
            condition: rule.condition.told()?,
            reason: rule.reason.clone(),
            authority: rule.authority.clone(),
            expires: Timestamp::from_unix_s((rule.expires_ns / 1_000_000_000).clamp(0, LATEST_S))?,
            appeal: rule.appeal.clone(),
            basis: rule.basis,
            hours: rule.hours.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_rules() {
        let path = |policy, rule| rule_path(&Label::new(policy).unwrap(), &Label::new(rule).unwrap());
        assert_eq!(path("school", "no-games"), "/rule/school/no-games");
        assert_eq!(path("a/b", "x y?#%ü"), "/rule/a%2Fb/x%20y%3F%23%25%C3%BC");
    }
}
