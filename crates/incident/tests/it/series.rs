//! Series in the forms that others publish them in, and what is wrong with those that can't be read.

use daylight_incident::series::outage::{ioda_outages, ioda_score};
use daylight_incident::series::{Signal, read};

use crate::support::{AUGUST_1, HOUR};

#[test]
fn tor_metrics_files_are_read() {
    let text = "#\n# The Tor Project\n#\n# URL: https://metrics.torproject.org/userstats-relay-country.csv\n\
        date,country,users,lower,upper,frac\n2020-08-08,by,7900,6000,9000,80\n2020-08-09,by,,,,80\n2020-08-10,by,2500,2000,3000,81\n";
    let all = read("userstats-relay-country.csv", text.as_bytes()).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].name.as_str(), all[0].signal, all[0].entity.as_deref()),
        ("users", Signal::Users, Some("BY"))
    );
    assert_eq!(all[0].points.len(), 2);
}

#[test]
fn ioda_signals_are_read_with_their_gaps() {
    let text = r#"{"type":"signals","data":[[{"entityType":"country","entityCode":"BY","entityName":"Belarus",
        "datasource":"bgp","from":1596240000,"until":1596241500,"step":300,"nativeStep":300,"values":[500,501,null,499,500]},
        {"entityType":"country","entityCode":"BY","datasource":"ping-slash24","from":1596240000,"step":600,"values":[10.5]},
        {"entityType":"country","entityCode":"BY","datasource":"gtr","from":1596240000,"step":1800,"values":[[{"a":1}],null]}]]}"#;
    let all = read("ioda.json", text.as_bytes()).unwrap();
    let shape: Vec<_> = all.iter().map(|s| (s.signal, s.step_s, s.points.len())).collect();
    assert_eq!(shape, [(Signal::Bgp, 300, 4), (Signal::ActiveProbing, 600, 1)]);
    assert_eq!(all[0].points[2], (AUGUST_1 + 900, 499.0));
}

#[test]
fn ooni_aggregates_are_read_as_json_and_as_csv() {
    let json = r#"{"dimension_count":2,"result":[{"anomaly_count":3,"confirmed_count":2,"failure_count":9,
        "measurement_count":19,"measurement_start_day":"2020-08-09","ok_count":5,"probe_asn":6697,"domain":"a.example"}],"v":0}"#;
    let csv = "anomaly_count,confirmed_count,domain,failure_count,measurement_count,measurement_start_day,ok_count,probe_asn\n\
        3,2,a.example,9,19,2020-08-09,5,6697\n";
    for (name, text) in [("a.json", json), ("a.csv", csv)] {
        let all = read(name, text.as_bytes()).unwrap();
        let shape: Vec<_> =
            all.iter().map(|s| (s.name.as_str(), s.entity.as_deref(), s.points[0].1)).collect();
        assert_eq!(
            shape,
            [
                ("a.example: share of anomalies", Some("AS6697"), 0.5),
                ("a.example: measurements", Some("AS6697"), 10.0)
            ],
            "{name}"
        );
    }
}

#[test]
fn tables_of_others_are_read_by_their_header() {
    let text = "# signal: telescope\n# entity: by\n\"when, exactly\";sources;note\n2020-08-09 00:00;12;\"a;b\"\n2020-08-09 01:00;13%;\"a;b\"\n";
    let all = read("x.csv", text.as_bytes());
    // The first column is the time where none is called so.
    let all = all.unwrap();
    assert_eq!(
        (all[0].signal, all[0].entity.as_deref(), all[0].step_s),
        (Signal::Telescope, Some("BY"), HOUR)
    );
    assert_eq!(all[0].points[0].1, 12.0);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, place, part) in [
        ("", "1:1", "no table"),
        ("date,users\nyesterday,1\n", "2:1", "no time"),
        ("date,users\n2020-08-09,1\n2020-08-10,2\n2020-08-11,x\n", "4:12", "no number"),
        ("date,users\n2020-08-09,1\n2020-08-09,2\n", "3:1", "same time"),
        ("date,users\n2020-08-09\n", "2:1", "1 fields where the header has 2"),
        ("date,users\n2020-08-09,\"1\n", "2:12", "quote"),
        ("date,word\n2020-08-09,a\n", "1:1", "no column of numbers"),
        ("# signal: smoke\ndate,users\n", "1:1", "smoke"),
        ("{\"data\":[{\"from\":\"x\"}]}", "1:20", "invalid type"),
        ("{\"data\":[", "1:9", "EOF"),
        ("{}", "1:1", "no series"),
        ("{\"from\":1,\"step\":0,\"values\":[1]}", "1:32", "step"),
    ] {
        let error = read("f.csv", text.as_bytes()).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with(&format!("f.csv:{place}: ")) && told.contains(part), "{text:?}: {told}");
    }
    let error = read("f.csv", b"date,users\n2020-08-09,\xff\n").unwrap_err();
    assert_eq!((error.line, error.column), (2, 12));
}

#[test]
fn iodas_rules_are_those_of_its_help_page() {
    let series = |signal: &str, step: i64, values: Vec<f64>| {
        let text = serde_json::json!({"datasource": signal, "entityCode": "BY", "from": AUGUST_1, "step": step, "values": values});
        read("a.json", text.to_string().as_bytes()).unwrap().remove(0)
    };
    let with_drop = |usual: f64, low: f64, count: usize| {
        let mut values = vec![usual; count];
        values.extend([low; 6]);
        values.extend([usual; 6]);
        values
    };
    // BGP warns below 99 %, and is critical below half.
    let bgp = ioda_outages(&series("bgp", 300, with_drop(1000.0, 980.0, 288)));
    assert_eq!((bgp.len(), bgp[0].critical), (1, false));
    assert!((bgp[0].severity - 2.0 * 30.0).abs() < 1e-6);
    assert!(ioda_outages(&series("bgp", 300, with_drop(1000.0, 995.0, 288))).is_empty());
    let gone = ioda_outages(&series("bgp", 300, with_drop(1000.0, 100.0, 288)));
    assert!(gone[0].critical && (gone[0].lowest - 0.1).abs() < 1e-9);
    // Active probing warns below 80 %, the telescope below a quarter.
    assert!(ioda_outages(&series("ping-slash24", 600, with_drop(1000.0, 850.0, 1008))).is_empty());
    assert_eq!(ioda_outages(&series("ping-slash24", 600, with_drop(1000.0, 700.0, 1008))).len(), 1);
    assert!(ioda_outages(&series("ucsd-nt", 300, with_drop(1000.0, 300.0, 2016))).is_empty());
    let dark = ioda_outages(&series("ucsd-nt", 300, with_drop(1000.0, 50.0, 2016)));
    assert!(dark[0].critical);
    let (product, sources) =
        ioda_score(&[(Signal::Bgp, gone[0]), (Signal::Telescope, dark[0])], AUGUST_1, i64::MAX);
    assert_eq!(sources, 2);
    assert!((product - gone[0].severity * dark[0].severity).abs() < 1e-6);
}
