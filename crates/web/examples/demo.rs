//! A public page to look at: writes the log of a filter that never was into a new folder, and serves it.
//!
//!     cargo run -p daylight-web --example demo -- FOLDER [ADDRESS [HOURS]]
//!
//! The policy is that of the example school. FOLDER/key.pub is the public key. It is served until the standard input ends.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use daylight_policy::audit::{
    Counts, Domain, Entry, Event, Label, Signer, Target, Text, Timestamp, Totals, Writer,
};
use daylight_policy::{Action, Policy, Rule};
use daylight_web::public::{Page, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("say in which new folder the log is to be")?;
    let folder = Path::new(&folder);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8480".to_owned()).parse()?;
    let hours = arguments.next().map_or(Ok(36), |hours| hours.parse())?;
    std::fs::create_dir(folder)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/policies/school.toml");
    let signer = Signer::generate(&folder.join("key"), "filter.school.example/log")?;
    let key = signer.verifier_key().clone();
    std::fs::write(folder.join("key.pub"), format!("{key}\n"))?;
    let mut writer = Writer::create(&folder.join("log"), signer)?;
    write(&mut writer, &Policy::load(&path, None)?, hours)?;

    let mut settings = Settings::new(folder.join("log"), key, listen);
    settings.operator = Some("Example School".to_owned());
    settings.contact = Some("mailto:it@school.example".to_owned());
    settings.policy = Some(path);
    let page = Page::bind(settings)?;
    eprintln!("http://{}/", page.local_addr()?);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            over.store(true, Ordering::Relaxed);
        });
        page.run(|| over.load(Ordering::Relaxed), |line| eprintln!("{line}"))
    })?;
    Ok(())
}

/// The last hours of a filter's life.
fn write(writer: &mut Writer, policy: &Policy, hours: i64) -> Result<(), Box<dyn Error>> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let begin = Timestamp::from_unix_s(now - hours * 3600)?;
    let started =
        Entry { time: begin, event: Event::FilterStarted { software: Text::new("daylight 0.1.0")? } };
    writer.append(&[started])?;
    writer.append(&policy.entries(begin)?)?;
    let stops = |rule: &&Rule| matches!(rule.action, Action::Drop | Action::Reject);
    let stopping: Vec<&Rule> = policy.rules().iter().filter(stops).collect();
    // School days: much in the morning, nothing at night; the numbers are made up, but the same in every run.
    let mut number = 12_345_u64;
    for hour in 0..hours {
        let time = Timestamp::from_unix_s(begin.unix_s() + (hour + 1) * 3600)?;
        let of_day = begin.unix_s() / 3600 % 24 + hour;
        let mut entries = Vec::new();
        for (at, rule) in stopping.iter().enumerate() {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let busy = if (7..18).contains(&(of_day % 24)) { 40 } else { 2 };
            let flows = (number >> 33) % (busy / (1 + at as u64)).max(1);
            if flows > 0 {
                let list = Label::new(if at == 0 { "adult" } else { "games" })?;
                let domain = Domain::new(if at == 0 { "adult.test" } else { "arcade.test" })?;
                let totals = Totals {
                    hour: Timestamp::from_unix_s(time.unix_s() - 3600)?.hour(),
                    policy: policy.name().clone(),
                    rule: rule.name.clone(),
                    target: Target::ListName { list, name: domain },
                    counts: Counts { flows, packets: 3 * flows, bytes: 1900 * flows },
                };
                entries.push(Entry { time, event: Event::Totals(totals) });
            }
        }
        writer.append(&entries)?;
    }
    Ok(())
}
