//! A whole run: kept line by line, taken up again, stopped.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use daylight_probe::control::Helpers;
use daylight_probe::settings::Steps;
use daylight_probe::{Error, Event, Options, run};
use daylight_verdict::ooni;

use crate::world::{Censor, Dns, World};

fn options(world: &World, urls: &[String]) -> Options {
    let mut settings = world.settings.clone();
    settings.steps = Steps::QUIET;
    Options {
        targets: urls.iter().map(|url| url.parse().unwrap()).collect(),
        lists: Vec::new(),
        services: Vec::new(),
        services_text: None,
        without: HashSet::new(),
        seed: Some(7),
        output: world.folder.path().join("measurements.jsonl"),
        at_once: 2,
        settings,
        roots: world.roots.clone(),
        helpers: Helpers::default(),
        packets: false,
        version: "0".to_owned(),
    }
}

/// The servers run on a runtime of their own, as the run has one.
fn world() -> (tokio::runtime::Runtime, World) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = runtime.block_on(World::new(Censor::Open, Dns::Honest));
    (runtime, world)
}

#[test]
fn what_is_done_is_not_done_again() {
    let (_runtime, world) = world();
    let urls: Vec<_> = (0..3).map(|n| format!("{}{n}", world.url)).collect();
    let options = options(&world, &urls);
    let inputs = || -> HashSet<String> {
        let text = std::fs::read(&options.output).unwrap();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| ooni::read(line).unwrap().measurement.input.unwrap()).collect()
    };
    let stop = AtomicBool::new(false);
    let events = RefCell::new(Vec::new());
    // Told to stop as soon as one is there.
    let first = run(
        &options,
        &|event| {
            if matches!(event, Event::Measured { .. }) {
                stop.store(true, Ordering::Relaxed);
            }
            events.borrow_mut().push(event);
        },
        &stop,
    )
    .unwrap();
    assert!(first.measured >= 1 && first.measured + first.left == 3, "{first:?}");
    assert_eq!(inputs().len(), first.measured);

    stop.store(false, Ordering::Relaxed);
    let second = run(&options, &|_| {}, &stop).unwrap();
    assert_eq!((second.before, second.measured, second.left), (first.measured, 3 - first.measured, 0));
    assert_eq!(inputs(), urls.into_iter().collect());
    let third = run(&options, &|_| {}, &stop).unwrap();
    assert_eq!((third.before, third.measured), (3, 0));
    assert!(matches!(events.borrow()[0], Event::Planned { targets: 3, before: 0, seed: 7 }));
}

#[test]
fn says_what_is_missing() {
    let (_runtime, world) = world();
    let stop = AtomicBool::new(false);
    let mut nothing = options(&world, &[]);
    assert!(matches!(run(&nothing, &|_| {}, &stop), Err(Error::Nothing)));
    nothing.services = vec!["pigeons".to_owned()];
    let error = run(&nothing, &|_| {}, &stop).unwrap_err().to_string();
    assert!(error.contains("pigeons") && error.contains("telegram"), "{error}");
}
