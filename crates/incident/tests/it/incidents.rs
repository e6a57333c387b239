//! What becomes an incident, and what doesn't.

use daylight_incident::detect::{End, Kind};
use daylight_incident::incident::Level;

use crate::support::{AUGUST_1, DAY, HOUR, Random, Said, study};

/// A target on a network, measured every hour by probes, blocked between two hours.
fn hourly(target: &str, asn: u32, probes: u32, hours: i64, blocked: std::ops::Range<i64>) -> Vec<Said> {
    (0..hours)
        .flat_map(|hour| (0..probes).map(move |probe| (hour, probe)))
        .map(|(hour, probe)| {
            let at = AUGUST_1 + hour * HOUR + i64::from(probe) * 60;
            let said = Said::ok(at, target, asn, &format!("p{probe}"));
            if blocked.contains(&hour) { said.blocked("tls.reset.sni") } else { said }
        })
        .collect()
}

#[test]
fn a_block_has_a_beginning_and_an_end() {
    let study = study(&hourly("a.example", 1, 2, 240, 100..150), None);
    assert_eq!(study.incidents.len(), 1);
    let incident = &study.incidents[0];
    let hour = |at: i64| (at - AUGUST_1) / HOUR;
    assert_eq!(hour(incident.onset.best), 100);
    assert!(hour(incident.onset.earliest.unwrap()) >= 98 && hour(incident.onset.latest) <= 101);
    let End::At(end) = incident.end else { panic!("{:?}", incident.end) };
    assert_eq!(hour(end.best), 150);
    assert!((incident.severity.target_network_days - 50.0 / 24.0).abs() < 0.1);
    assert_eq!(incident.severity.level, Level::Moderate);
}

#[test]
fn one_bad_hour_is_no_incident_however_many_probes_fail_in_it() {
    let study = study(&hourly("a.example", 1, 40, 100, 50..51), None);
    assert!(study.incidents.is_empty());
}

#[test]
fn chance_alone_makes_no_incident() {
    let mut random = Random(7);
    let mut all = Vec::new();
    for target in 0..20 {
        for said in hourly(&format!("t{target}.example"), 1, 3, 240, 0..0) {
            let odd = random.uniform() < 0.04;
            all.push(if odd { said.blocked("tcp.timeout") } else { said });
        }
    }
    let study = study(&all, None);
    assert_eq!(study.incidents.iter().filter(|i| i.kind == Kind::Interference).count(), 0);
}

#[test]
fn what_was_blocked_from_the_start_has_no_known_beginning() {
    let study = study(&hourly("a.example", 1, 2, 100, 0..1000), None);
    assert_eq!(study.incidents.len(), 1);
    assert_eq!(study.incidents[0].onset.earliest, None);
    assert!(daylight_incident::report::markdown(&study, None).contains("when the data begin"));
}

#[test]
fn what_nobody_measures_any_more_is_not_said_to_continue() {
    let mut all = hourly("a.example", 1, 2, 100, 50..1000);
    all.extend(hourly("b.example", 2, 2, 300, 0..0));
    let study = study(&all, None);
    let incident = study.incidents.iter().find(|i| i.kind == Kind::Interference).unwrap();
    assert!(matches!(incident.end, End::NotMeasuredSince(_)), "{:?}", incident.end);
}

#[test]
fn a_resolver_elsewhere_does_not_hide_that_of_the_provider() {
    let mut all = hourly("a.example", 1, 2, 120, 0..0);
    for said in hourly("a.example", 1, 4, 120, 0..0) {
        let hour = (said.at - AUGUST_1) / HOUR;
        let own = Said { resolver: 1, probe: format!("own-{}", said.probe), ..said };
        all.push(if hour >= 60 { own.blocked("dns.nxdomain") } else { own });
    }
    for said in &mut all {
        if !said.probe.starts_with("own") {
            said.resolver = 15169;
        }
    }
    let study = study(&all, None);
    let changes: Vec<_> = study.detected.changes.iter().map(|c| (c.resolver, c.share > 0.95)).collect();
    assert_eq!(changes, [(Some(1), true)]);
}

#[test]
fn blocks_in_two_countries_or_weeks_apart_are_two_incidents() {
    let mut all = hourly("a.example", 1, 3, 800, 100..200);
    all.extend(
        hourly("a.example", 2, 3, 800, 100..200).into_iter().map(|said| Said { country: "KZ", ..said }),
    );
    all.extend(hourly("b.example", 1, 3, 800, 600..700));
    let study = study(&all, None);
    let countries: Vec<&str> = study.incidents.iter().map(|incident| incident.country.as_str()).collect();
    assert_eq!(countries, ["BY", "KZ", "BY"]);
}

#[test]
fn probes_that_fall_silent_are_a_signal() {
    let mut all = Vec::new();
    let mut random = Random(3);
    for asn in [1, 2] {
        for probe in 0..8 {
            for hour in 0..20 * 24 {
                let silent = (240..264).contains(&hour);
                if !silent && random.uniform() < 0.6 {
                    all.push(Said::ok(
                        AUGUST_1 + hour * HOUR + probe,
                        "a.example",
                        asn,
                        &format!("p{probe}"),
                    ));
                }
            }
        }
    }
    let study = study(&all, Some(AUGUST_1 + 20 * DAY));
    assert_eq!(study.incidents.len(), 1, "{:?}", daylight_incident::report::headlines(&study));
    let incident = &study.incidents[0];
    assert_eq!((incident.kind, incident.networks.len()), (Kind::Silence, 2));
    assert_eq!((incident.onset.best - AUGUST_1) / HOUR, 240);
    let End::At(end) = incident.end else { panic!("{:?}", incident.end) };
    assert_eq!((end.best - AUGUST_1) / HOUR, 264);
}

#[test]
fn silence_at_the_end_shows_when_the_end_is_given() {
    let mut all = Vec::new();
    for probe in 0..4 {
        for hour in 0..10 * 24 {
            all.push(Said::ok(AUGUST_1 + hour * HOUR + probe, "a.example", 1, &format!("p{probe}")));
        }
    }
    assert!(study(&all, None).incidents.is_empty());
    let study = study(&all, Some(AUGUST_1 + 12 * DAY));
    assert_eq!(study.incidents.len(), 1);
    assert_eq!(study.incidents[0].end, End::Continues);
}

#[test]
fn connections_that_slow_down_are_found() {
    let mut random = Random(11);
    let mut all = Vec::new();
    for target in 0..6 {
        for hour in 0..240 {
            let mut said = Said::ok(AUGUST_1 + hour * HOUR + target, &format!("t{target}.example"), 1, "p");
            let usual = 20.0 * (1.0 + target as f64) * (1.0 + 0.1 * random.normal()).max(0.5);
            said.connect_ms = Some(if hour >= 150 { usual * 4.0 } else { usual });
            all.push(said);
        }
    }
    let study = study(&all, None);
    let slow: Vec<_> = study.detected.changes.iter().filter(|c| c.kind == Kind::Slowness).collect();
    assert_eq!(slow.len(), 1);
    assert_eq!((slow[0].onset.best - AUGUST_1) / HOUR, 150);
    assert!((3.0..5.0).contains(&slow[0].share), "{}", slow[0].share);
}
