//! Crashes at every step, power cuts, and full disks: nothing that was told is lost, and nothing is told in two ways.

use super::super::verify::verify_on;
use super::model::{Fault, Model};
use super::*;

/// Sizes before and batches after that go through all shapes of tiles: a grown one, one that just fills up (and begins
/// the next level), several at once.
const SHAPES: [(u64, u64); 4] = [(2, 1), (5, 3), (250, 6), (255, 300)];

fn prepared(size: u64) -> Model {
    let model = Model::default();
    model.arm(None, 0);
    let mut writer = Writer::create_on(model.boxed(), signer()).unwrap();
    writer.append(&[load(), totals(0, size - 2)].concat()).unwrap();
    model
}

/// A copy, opened, with a fault to come.
fn faulty(prepared: &Model, fault: Option<Fault>, seed: usize) -> (Model, Writer) {
    let model = prepared.fork();
    let writer = Writer::open_on(model.boxed(), signer()).unwrap();
    model.arm(fault, seed as u64);
    (model, writer)
}

/// What must hold of a log after whatever happened: it is whole, it has at least `told` entries, and it continues
/// every checkpoint that was ever shown.
fn check(model: &Model, told: u64, what: &str) {
    let mut writer =
        Writer::open_on(model.boxed(), signer()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(writer.len() >= told, "{what}: {} of {told}", writer.len());
    let verified = verify_on(model, &key()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(verified.pending, 0, "{what}");
    let log = Log::open_on(model.boxed(), &key()).unwrap();
    for shown in model.shown() {
        let shown = SignedCheckpoint::verified(&shown, &key()).unwrap();
        let comparison = compare_with_log(&shown, &log).unwrap();
        assert_eq!(comparison, Comparison::Consistent, "{what}: {}", shown.checkpoint().size);
        assert!(log.len() >= shown.checkpoint().size, "{what}: a checkpoint was taken back");
    }
    // And it goes on, in a way that a second crash survives.
    let from = writer.len();
    writer.append(&totals(from, from + 3)).unwrap();
    model.cut_power();
    assert_eq!(verify_on(model, &key()).unwrap().checkpoint.checkpoint().size, from + 3, "{what}");
}

fn steps_of(prepared: &Model, entries: &[Entry]) -> usize {
    let (model, mut writer) = faulty(prepared, None, 0);
    writer.append(entries).unwrap();
    model.steps()
}

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_told() {
    for (size, batch) in SHAPES {
        let (prepared, entries) = (prepared(size), totals(size, size + batch));
        for step in 0..=steps_of(&prepared, &entries) {
            // Chance decides what is lost: many times over for the small ones, once a step for those that take long.
            for seed in if size < 100 { 0..6 } else { step..step + 1 } {
                let what = format!("{size} + {batch}, step {step}, seed {seed}");
                let (model, mut writer) = faulty(&prepared, Some(Fault::Dies(step)), seed);
                let told = writer.append(&entries).map_or(size, |range| range.end);
                drop(writer);
                // Killed: what was written stands, synced or not.
                let killed = model.fork();
                check(&killed, told, &format!("{what}, killed"));
                // Killed, opened again, and the power cut while that goes on.
                let twice = model.fork();
                twice.arm(Some(Fault::Dies(seed % 6)), seed as u64);
                drop(Writer::open_on(twice.boxed(), signer()));
                twice.cut_power();
                check(&twice, told, &format!("{what}, killed, then cut"));
                model.cut_power();
                check(&model, told, &format!("{what}, cut"));
            }
        }
    }
}

#[test]
fn a_full_disk_damages_nothing_and_the_writer_goes_on() {
    for (size, batch) in SHAPES {
        let (prepared, entries) = (prepared(size), totals(size, size + batch));
        for step in 0..steps_of(&prepared, &entries) {
            let what = format!("{size} + {batch}, step {step}");
            let (model, mut writer) = faulty(&prepared, Some(Fault::Full(step)), step);
            match writer.append(&entries) {
                // The step was one of tidying up.
                Ok(range) => assert_eq!(range.end, size + batch, "{what}"),
                Err(error) => {
                    assert!(matches!(error, AuditError::DiskFull { .. }), "{what}: {error}");
                    if writer.len() == size {
                        writer.append(&entries).unwrap();
                    }
                }
            }
            assert_eq!(writer.len(), size + batch, "{what}");
            assert_eq!(verify_on(&model, &key()).unwrap().checkpoint, *writer.checkpoint(), "{what}");
            drop(writer);
            model.cut_power();
            check(&model, size + batch, &what);
        }
    }
}

#[test]
fn a_crash_while_the_log_is_created_leaves_none_or_an_empty_one() {
    for step in 0..5 {
        for seed in 0..8 {
            let model = Model::default();
            model.arm(Some(Fault::Dies(step)), seed);
            let _ = Writer::create_on(model.boxed(), signer());
            model.cut_power();
            let mut writer = Writer::open_on(model.boxed(), signer())
                .or_else(|_| Writer::create_on(model.boxed(), signer()))
                .unwrap();
            assert!(writer.is_empty());
            writer.append(&load()).unwrap();
            verify_on(&model, &key()).unwrap();
        }
    }
}

#[test]
fn a_crash_while_the_key_is_changed_leaves_the_old_or_the_new() {
    let mut changed = [0, 0];
    let prepared = prepared(7);
    for step in 0..16 {
        for seed in 0..6 {
            let (model, mut writer) = faulty(&prepared, Some(Fault::Dies(step)), seed);
            let done = writer.rotate(time(9), Signer::of_seed(NAME, 2)).is_ok();
            drop(writer);
            model.cut_power();
            let new = Writer::open_on(model.boxed(), Signer::of_seed(NAME, 2));
            let old = Writer::open_on(model.boxed(), signer());
            assert!(new.is_ok() != old.is_ok(), "step {step}, seed {seed}");
            assert!(new.is_ok() || !done, "step {step}, seed {seed}");
            changed[usize::from(new.is_ok())] += 1;
            let mut writer = new.or(old).unwrap();
            writer.append(&totals(20, 23)).unwrap();
            verify_on(&model, &key()).unwrap();
        }
    }
    assert!(changed.iter().all(|count| *count > 0), "{changed:?}");
}

/// A checkpoint that was being written when the power went, cut at every byte.
#[test]
fn a_new_checkpoint_is_taken_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 9);
    let old = fs::read(folder.path().join("checkpoint")).unwrap();
    writer.append(&totals(7, 10)).unwrap();
    drop(writer);
    let new = fs::read(folder.path().join("checkpoint")).unwrap();
    for length in 0..=new.len() {
        let copied = tempfile::tempdir().unwrap();
        copy(folder.path(), copied.path());
        fs::write(copied.path().join("checkpoint"), &old).unwrap();
        fs::write(copied.path().join("checkpoint.new"), &new[..length]).unwrap();
        let mut writer = Writer::open(copied.path(), signer()).unwrap();
        assert_eq!(writer.len(), if length == new.len() { 12 } else { 9 });
        let from = writer.len() - 2;
        writer.append(&totals(from, from + 1)).unwrap();
        assert_eq!(verify(copied.path(), &key()).unwrap().pending, 0);
    }
}

#[test]
fn an_old_checkpoint_slipped_in_does_not_turn_the_log_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 9);
    let old = fs::read(folder.path().join("checkpoint")).unwrap();
    writer.append(&totals(7, 10)).unwrap();
    drop(writer);
    fs::write(folder.path().join("checkpoint.new"), old).unwrap();
    assert_eq!(Writer::open(folder.path(), signer()).unwrap().len(), 12);
}

#[test]
fn a_log_has_one_writer_and_is_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let writer = log_of(folder.path(), 4);
    assert!(matches!(Writer::open(folder.path(), signer()), Err(AuditError::Locked { .. })));
    assert!(matches!(Writer::create(folder.path(), signer()), Err(AuditError::Locked { .. })));
    Log::open(folder.path(), &key()).unwrap();
    drop(writer);
    assert!(matches!(Writer::create(folder.path(), signer()), Err(AuditError::Exists { .. })));
    let stranger = Signer::of_seed("other.example/log", 1);
    assert!(matches!(Writer::open(folder.path(), stranger), Err(AuditError::WrongKey { .. })));
    assert!(matches!(Writer::open(&folder.path().join("none"), signer()), Err(AuditError::File { .. })));
    assert!(!folder.path().join("none").exists());
    fs::remove_file(folder.path().join("checkpoint")).unwrap();
    assert!(matches!(Writer::open(folder.path(), signer()), Err(AuditError::File { .. })));
    assert!(matches!(Writer::create(folder.path(), signer()), Err(AuditError::Exists { .. })));
}
