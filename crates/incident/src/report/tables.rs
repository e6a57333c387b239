//! The tables beside the page: everything that is drawn, for those who reckon on.

use std::fmt::Write as _;

use crate::cell::cells;
use crate::detect::{End, Seen, seen};
use crate::rows::hex;
use crate::study::Study;
use crate::when::{HOUR_S, Moment, rfc3339};

/// A row of the table of mechanisms.
pub(crate) struct MechanismRow {
    pub(crate) network: u32,
    pub(crate) target: u32,
    pub(crate) seen: Seen,
}

/// One row for each network, target and mechanism that interfered.
pub(crate) fn mechanism_rows(study: &Study) -> Vec<MechanismRow> {
    let mut all = Vec::new();
    for pair in study.rows.pairs() {
        let Some(first) = pair.first() else { continue };
        for seen in seen(pair.iter().filter(|row| row.interferes())) {
            all.push(MechanismRow { network: first.network, target: first.target, seen });
        }
    }
    all.sort_by_key(|row| {
        (row.network, std::cmp::Reverse(row.seen.measurements), row.target, row.seen.mechanism)
    });
    all
}

/// A field, quoted if it must be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn line(csv: &mut String, fields: &[String]) {
    let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    let _ = writeln!(csv, "{}", fields.join(","));
}

fn moment(moment: &Moment) -> [String; 3] {
    [moment.earliest.map_or(String::new(), rfc3339), rfc3339(moment.best), rfc3339(moment.latest)]
}

fn end(end: &End) -> [String; 2] {
    match end {
        End::At(moment) => ["ended".to_owned(), rfc3339(moment.best)],
        End::Continues => ["continues".to_owned(), String::new()],
        End::NotMeasuredSince(at) => ["not-measured-since".to_owned(), rfc3339(*at)],
    }
}

/// Networks and what they are called.
fn network(study: &Study, number: u32) -> [String; 3] {
    let key = study.rows.networks.get(number as usize);
    let name = study.rows.network_names.get(number as usize).cloned().flatten();
    [
        key.map_or(String::new(), |key| key.asn.to_string()),
        key.map_or(String::new(), |key| key.country.clone()),
        name.unwrap_or_default(),
    ]
}

/// `incidents.csv`: one line for each incident and network.
pub(crate) fn incidents(study: &Study) -> String {
    let mut csv = "incident,kind,severity,target_network_days,asn,country,network,targets,mechanism,measurements,probes,share,onset_earliest,onset,onset_latest,end,end_time\n".to_owned();
    for (i, incident) in study.incidents.iter().enumerate() {
        for part in &incident.networks {
            let first = part.mechanisms.first();
            let mut fields = vec![
                (i + 1).to_string(),
                incident.kind.as_str().to_owned(),
                incident.severity.level.as_str().to_owned(),
                format!("{:.2}", incident.severity.target_network_days),
            ];
            fields.extend(network(study, part.network));
            fields.push(part.targets.len().to_string());
            fields.push(
                first.and_then(|seen| study.rows.mechanism(seen.mechanism)).unwrap_or_default().to_owned(),
            );
            fields.push(first.map_or(0, |seen| seen.measurements).to_string());
            fields.push(part.probes.to_string());
            fields.push(format!("{:.3}", part.share));
            fields.extend(moment(&part.onset));
            fields.extend(end(&part.end));
            line(&mut csv, &fields);
        }
    }
    csv
}

/// `changes.csv`: one line for each change.
pub(crate) fn changes(study: &Study) -> String {
    let mut csv = "incident,kind,target,asn,country,network,layer,resolver_asn,share,probes,measurements,mechanism,onset_earliest,onset,onset_latest,alarm,end,end_time\n".to_owned();
    for (i, change) in study.detected.changes.iter().enumerate() {
        let incident = study.incidents.iter().position(|incident| incident.changes.contains(&i));
        let mut fields = vec![
            incident.map_or(String::new(), |place| (place + 1).to_string()),
            change.kind.as_str().to_owned(),
            change.target.map_or("", |target| study.rows.target(target)).to_owned(),
        ];
        fields.extend(network(study, change.network));
        fields.push(change.layer.map_or(String::new(), |layer| layer.to_string()));
        fields.push(change.resolver.map_or(String::new(), |asn| asn.to_string()));
        fields.push(format!("{:.3}", change.share));
        fields.push(change.probes.to_string());
        fields.push(change.measurements.to_string());
        let first = change.mechanisms.first();
        fields
            .push(first.and_then(|seen| study.rows.mechanism(seen.mechanism)).unwrap_or_default().to_owned());
        fields.extend(moment(&change.onset));
        fields.push(rfc3339(change.alarm));
        fields.extend(end(&change.end));
        line(&mut csv, &fields);
    }
    csv
}

/// `mechanisms.csv`: one line for each network, target and mechanism.
pub(crate) fn mechanisms(study: &Study) -> String {
    let mut csv = "asn,country,network,target,category,mechanism,state,measurements,probes,first_seen,last_seen,witness_sha256\n".to_owned();
    for row in mechanism_rows(study) {
        let mut fields: Vec<String> = network(study, row.network).into();
        fields.push(study.rows.target(row.target).to_owned());
        fields.push(study.rows.categories.get(row.target as usize).cloned().flatten().unwrap_or_default());
        fields.push(study.rows.mechanism(row.seen.mechanism).unwrap_or_default().to_owned());
        fields.push(row.seen.state.to_string());
        fields.push(row.seen.measurements.to_string());
        fields.push(row.seen.probes.to_string());
        fields.push(rfc3339(i64::from(row.seen.first)));
        fields.push(rfc3339(i64::from(row.seen.last)));
        fields.push(hex(&row.seen.witness));
        line(&mut csv, &fields);
    }
    csv
}

/// `series.csv`: one line for each change of a series of others.
pub(crate) fn series(study: &Study) -> String {
    let mut csv =
        "file,series,signal,entity,usual,level,onset_earliest,onset,onset_latest,end,end_time\n".to_owned();
    for change in &study.series_changes {
        let Some(series) = study.series.get(change.series) else { continue };
        let mut fields = vec![
            series.file.clone(),
            series.name.clone(),
            series.signal.as_str().to_owned(),
            series.entity.clone().unwrap_or_default(),
            change.usual.to_string(),
            change.level.to_string(),
        ];
        fields.extend(moment(&change.onset));
        fields.extend(end(&change.end));
        line(&mut csv, &fields);
    }
    csv
}

/// `cells.csv`: one line for each cell, state and mechanism. Written as it is made, as there can be millions.
pub(crate) fn write_cells(study: &Study, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    writeln!(out, "target,asn,country,resolver_asn,layer,hour,state,mechanism,measurements,probes_in_cell")?;
    for cell in cells(&study.rows) {
        let [asn, country, _] = network(study, cell.key.network);
        for ((state, mechanism), count) in &cell.histogram {
            writeln!(
                out,
                "{},{asn},{},{},{},{},{state},{},{count},{}",
                quoted(study.rows.target(cell.key.target)),
                quoted(&country),
                cell.key.resolver,
                cell.key.layer.map_or("", |layer| layer.as_str()),
                rfc3339(i64::from(cell.key.hour) * HOUR_S),
                study.rows.mechanism(*mechanism).unwrap_or_default(),
                cell.probes
            )?;
        }
    }
    Ok(())
}
