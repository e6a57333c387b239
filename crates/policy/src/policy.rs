//! A policy: read, checked against the record's fields and its lists, and compiled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use daylight_expr::{ErrorKind, List, Programs, Span, compile};
use jiff::tz::TimeZone;

use crate::audit::{Digest, Label};
use crate::error::{LoadError, Problem};
use crate::fields::{FieldSet, Fields, Numbering};
use crate::list::{self, LIST_BYTES_MAX, ListKind, ListSpec, NamedList};
use crate::read::{self, POLICY_BYTES_MAX, RuleDraft};
use crate::rule::{Condition, Match, Rule, Verdict};
use crate::target;

/// Where the files of lists come from. Nothing else of a policy reads files.
pub trait Files {
    /// The bytes of a file, named as in the policy; at most `most` bytes.
    ///
    /// # Errors
    /// If there is no such file, it can't be read, or it is larger.
    fn read(&self, path: &Path, most: u64) -> std::io::Result<Vec<u8>>;
}

/// Files beside the policy's.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Files for Folder {
    fn read(&self, path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(self.0.join(path))?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(std::io::Error::other(format!("it is larger than {} MiB", most >> 20)));
        }
        Ok(bytes)
    }
}

/// Files in memory, by their paths.
impl Files for HashMap<PathBuf, Vec<u8>> {
    fn read(&self, path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
        match self.get(path) {
            Some(bytes) if bytes.len() as u64 <= most => Ok(bytes.clone()),
            Some(_) => Err(std::io::Error::other(format!("it is larger than {} MiB", most >> 20))),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

/// Rules, and what becomes of the flows that none of them speaks of. It doesn't change once it is loaded, and is shared
/// between threads.
#[derive(Debug)]
pub struct Policy {
    name: Label,
    matching: Match,
    pub(crate) zone: TimeZone,
    rules: Vec<Rule>,
    lists: Vec<NamedList>,
    fields: Fields,
    /// The rules with a verdict in the order in which they have the say.
    pub(crate) order: Box<[Turn]>,
    /// Those without one, in the file's order.
    pub(crate) logging: Box<[Turn]>,
    /// The conditions of all rules.
    pub(crate) programs: Programs,
    pub(crate) serial: u32,
    digest: Digest,
}

/// What of a rule is needed to decide, close together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Its place in the file.
    pub(crate) rule: u32,
    /// Its condition's place in [`Policy::programs`]; it always holds if there is none.
    pub(crate) program: Option<u32>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reads: FieldSet,
}

/// Tells policies of one process apart.
static SERIAL: AtomicU32 = AtomicU32::new(1);

impl Policy {
    /// Loads a policy from a file, and its lists from files beside it. Lists whose files are what they were in
    /// `previous` are shared with it.
    ///
    /// # Errors
    /// With every problem of the file, each with its place.
    pub fn load(path: &Path, previous: Option<&Self>) -> Result<Self, LoadError> {
        let file = path.display().to_string();
        let folder = Folder(path.parent().unwrap_or_else(|| Path::new("")).to_owned());
        let own = path.file_name().map_or(path, Path::new);
        let unreadable = |why: String| LoadError::Unreadable { file: file.clone(), why };
        let bytes = folder.read(own, POLICY_BYTES_MAX).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable("it is not UTF-8 text; save it as such".into()))?;
        Self::parse(&text, &file, &folder, previous)
    }

    /// Reads a policy. `file` is its name, for problems.
    ///
    /// # Errors
    /// With every problem of the text, each with its place.
    pub fn parse(
        text: &str,
        file: &str,
        files: &dyn Files,
        previous: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let (draft, mut problems) = read::read(text, file);
        let mut named: HashMap<String, Arc<List>> = HashMap::new();
        let mut lists = Vec::new();
        for (spec, at, file_at) in draft.lists {
            // A list that can't be read is there all the same, so that the conditions can be looked at.
            let mut found = Arc::new(empty(spec.kind));
            match load_list(&spec, files, previous) {
                Ok(loaded) => {
                    found = Arc::clone(&loaded.list);
                    let line = crate::error::position(text, at.start).0;
                    lists.push(NamedList { line, ..loaded });
                }
                Err(why) if !spec.file.as_os_str().is_empty() => {
                    let message = format!("{}: {why}", spec.file.display());
                    problems.push(Problem::new(file, text, file_at, message, "", ""));
                }
                Err(_) => {}
            }
            named.insert(spec.name, found);
        }
        let source = Source { text, file, numbering: Numbering::default() };
        let mut rules: Vec<Rule> = Vec::new();
        for draft in draft.rules {
            match source.rule(draft, &named) {
                Ok(Some(rule)) => rules.push(rule),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        let (Some(name), true) = (draft.name, problems.is_empty()) else {
            return Err(LoadError::new(problems));
        };
        for rule in &mut rules {
            rule.grounds = target::grounds(&rule.condition, &lists);
        }
        let fields = source.numbering.into_fields();
        let mut programs = Vec::new();
        let turns = rules.iter().zip(0..).map(|(rule, at)| {
            let program = match &rule.condition {
                Condition::Always => None,
                Condition::When(program) => {
                    programs.push(Arc::clone(program));
                    u32::try_from(programs.len() - 1).ok()
                }
            };
            Turn { rule: at, program, verdict: rule.action.verdict(), reads: rule.reads }
        });
        let (mut order, logging): (Vec<Turn>, Vec<Turn>) = turns.partition(|turn| turn.verdict.is_some());
        if draft.matching == Match::All {
            // The strictest first: the first that holds has the say then, too. The sort keeps equal ones in order.
            order.sort_by_key(|turn| turn.verdict.map(Verdict::rank));
        }
        Ok(Self {
            name,
            matching: draft.matching,
            zone: draft.zone,
            rules,
            lists,
            fields,
            order: order.into(),
            logging: logging.into(),
            programs: Programs::new(programs),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            digest: Digest::of(text.as_bytes()),
        })
    }

    /// By which people know it.
    pub fn name(&self) -> &Label {
        &self.name
    }

    /// Which of several rules that hold has the say.
    pub fn matching(&self) -> Match {
        self.matching
    }

    /// The rules, in the file's order: rules are known by their places here.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The lists, in the file's order.
    pub fn lists(&self) -> &[NamedList] {
        &self.lists
    }

    /// The fields that its rules read.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// SHA-256 of the file. The lists have their own.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The name of its time zone, as in the IANA data base.
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

struct Source<'a> {
    text: &'a str,
    file: &'a str,
    numbering: Numbering,
}

impl Source<'_> {
    fn rule(&self, draft: RuleDraft, lists: &HashMap<String, Arc<List>>) -> Result<Option<Rule>, Problem> {
        let (when, at) = &draft.when;
        let condition = match when.as_str() {
            // What is missing was told already.
            "" => return Ok(None),
            "true" => Condition::Always,
            text => match compile(text, &self.numbering, lists) {
                Ok(program) => Condition::When(Arc::new(program)),
                Err(error) => {
                    let place = read::within(self.text, *at, text, error.span());
                    let place = if place.start == place.end {
                        Span::new(place.start, place.start + 1)
                    } else {
                        place
                    };
                    let help = match error.kind() {
                        ErrorKind::UnknownList(name) => {
                            format!("add a [[list]] with name = {name:?}, its kind and its file")
                        }
                        ErrorKind::Constant(_) if text == "false" => "leave the rule out".to_owned(),
                        _ => error.advice().unwrap_or_default().to_owned(),
                    };
                    let name = draft.name.as_ref().map_or("", Label::as_str);
                    let message = format!("in the condition of {name:?}: {error}");
                    return Err(Problem::new(self.file, self.text, place, message, error.beside(), &help));
                }
            },
        };
        if let Err(error) = condition.told() {
            return Err(Problem::new(
                self.file,
                self.text,
                *at,
                error.to_string(),
                "",
                "put hosts into a [[list]]",
            ));
        }
        let (Some(name), Some(reason), Some(authority)) = (draft.name, draft.reason, draft.authority) else {
            return Ok(None);
        };
        let reads = condition.program().map_or(FieldSet::NONE, |program| Fields::set_at(program.fields()));
        Ok(Some(Rule {
            name,
            line: draft.line,
            condition,
            action: draft.action,
            reason,
            authority,
            basis: draft.basis,
            expires_ns: draft.expires_ns,
            expires: draft.expires,
            appeal: draft.appeal,
            hours: draft.hours,
            reads,
            grounds: Box::default(),
        }))
    }
}

/// A list, but for the line of the policy on which it stands.
fn load_list(spec: &ListSpec, files: &dyn Files, previous: Option<&Policy>) -> Result<NamedList, String> {
    let bytes = files.read(&spec.file, LIST_BYTES_MAX).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; it is sought beside the policy".to_owned(),
        _ => error.to_string(),
    })?;
    let digest = Digest::of(&bytes);
    let known = previous.into_iter().flat_map(|policy| &policy.lists).find(|known| {
        let (a, b) = (&known.spec, spec);
        known.digest == digest
            && (a.kind, a.format, &a.column, &a.file) == (b.kind, b.format, &b.column, &b.file)
    });
    if let Some(known) = known {
        return Ok(NamedList { spec: spec.clone(), ..known.clone() });
    }
    let text = String::from_utf8_lossy(&bytes);
    let (list, lines, report) = list::read(&text, &spec.file.display().to_string(), spec)?;
    let (list, lines, report) = (Arc::new(list), Arc::new(lines), Arc::new(report));
    Ok(NamedList { spec: spec.clone(), line: 0, digest, list, lines, report })
}

fn empty(kind: ListKind) -> List {
    match kind {
        ListKind::Domains => List::domains([""; 0]),
        ListKind::Prefixes => List::networks([]),
        ListKind::Ja4 | ListKind::Sha256 | ListKind::Text => List::texts([""; 0]),
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Policy>();
};
