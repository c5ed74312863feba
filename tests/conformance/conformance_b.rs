//! B. What is in a request of remote write 1.0.

mod labels;

use prost::Message as _;
use saimon::series::kind::{self, Kind, Source};
use saimon::wire::proto;
use saimon::wire::proto::v2::histogram::Count;
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::{MetricType, STALE_NAN_BITS};

use crate::support::raw::{self, Raw};
use crate::support::{
    NOW_MS, Response, Saimon, WRITE_HEADERS, bits, histogram, labels, snappy, v1,
};

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const GOOD: &[(&str, &str)] = &[("__name__", "good")];

/// A recorded request of the folder `tests/data/write-1.0`, as sent and as it was meant.
fn recorded(file: &str) -> (Vec<u8>, proto::WriteRequest) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/write-1.0/");
    let body = std::fs::read(folder.to_owned() + file).unwrap();
    let raw = BodyPool::new(1).decompress(&body, 1 << 20).unwrap();
    let message = proto::WriteRequest::decode(&*raw).unwrap();
    (body, message)
}

/// The newest timestamp of a request.
fn newest(request: &proto::WriteRequest) -> i64 {
    let samples = request.timeseries.iter().flat_map(|t| &t.samples);
    samples.map(|s| s.timestamp).max().unwrap_or(NOW_MS)
}

/// Sends entries by hand between two good ones; gives the answer after checking that the good ones
/// were taken and nothing else was.
#[track_caller]
fn refused_between_good_ones(saimon: &Saimon, bad: &[Raw]) -> Response {
    let good = |name: &[u8]| raw::series(&[(b"__name__", name)], NOW_MS, 1.0);
    let mut body = Raw::new().message(1, &good(b"before"));
    for entry in bad {
        body = body.message(1, entry);
    }
    let body = body.message(1, &good(b"behind"));
    let response = saimon.connect().post(WRITE_HEADERS, &snappy(&body.0));
    assert_eq!(response.status, 400, "{bad:?}");
    let held: Vec<_> = saimon.held().into_keys().collect();
    assert_eq!(held, ["before", "behind"]);
    response
}

#[test]
fn item_025_what_is_zero_is_not_on_the_wire() {
    let saimon = Saimon::start();
    let entry = |name: &[u8], sample: Raw| {
        Raw::new()
            .message(1, &raw::label(b"__name__", name))
            .message(2, &sample)
    };
    let body = Raw::new()
        .message(1, &entry(b"no_value", Raw::new().int(2, NOW_MS)))
        .message(1, &entry(b"no_time", Raw::new().double(1, 1.5)))
        .message(1, &entry(b"neither", Raw::new()));
    let response = saimon.connect().post(WRITE_HEADERS, &snappy(&body.0));
    assert_eq!(response.status, 204);
    assert_eq!(saimon.samples("no_value"), bits(&[(NOW_MS, 0.0)]));
    assert_eq!(saimon.samples("no_time"), bits(&[(0, 1.5)]));
    assert_eq!(saimon.samples("neither"), bits(&[(0, 0.0)]));
}

#[test]
fn item_026_all_samples_of_all_entries_are_taken_in_order() {
    let saimon = Saimon::start();
    let shuffled: &[(&str, &str)] = &[("job", "a"), ("__name__", "up")];
    let request = v1::Request::new()
        .series(UP, &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0), (NOW_MS + 2, 3.0)])
        .series(GOOD, &[(NOW_MS, 7.0)])
        .series(UP, &[(NOW_MS + 3, 4.0)])
        .series(shuffled, &[(NOW_MS + 4, 5.0)])
        .series(GOOD, &[(NOW_MS + 1, 8.0)])
        .series(UP, &[(NOW_MS + 5, 6.0)]);
    assert_eq!(saimon.write(&request).status, 204);
    let all: Vec<_> = (0..6).map(|i| (NOW_MS + i, i as f64 + 1.0)).collect();
    assert_eq!(saimon.samples(&labels(UP)), bits(&all));
    assert_eq!(
        saimon.samples("good"),
        bits(&[(NOW_MS, 7.0), (NOW_MS + 1, 8.0)])
    );
    assert_eq!(saimon.counters().outcomes(), [("accepted", 8)]);
}

#[test]
fn item_027_metadata_alone_is_fine_and_is_kept() {
    let saimon = Saimon::start();
    let (body, message) = recorded("prom-2.42-00014.snappy");
    assert!(message.timeseries.is_empty() && message.metadata.len() > 300);
    let response = saimon.connect().post(WRITE_HEADERS, &body);
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert!(saimon.held().is_empty(), "no series comes of it");
    // Counters whose names do not say so are known as counters from their first sample.
    let silent: Vec<_> = message
        .metadata
        .iter()
        .filter(|m| m.r#type == 1 && !m.metric_family_name.ends_with("_total"))
        .filter(|m| !kind::never_modelled(m.metric_family_name.as_bytes()))
        .map(|m| m.metric_family_name.as_str())
        .chain(["nobody_announced_this"])
        .collect();
    assert!(silent.len() > 1, "{silent:?}");
    let request = silent.iter().fold(v1::Request::new(), |request, name| {
        request.series(&[("__name__", name)], &[(NOW_MS, 1.0)])
    });
    assert_eq!(saimon.write(&request).status, 204);
    for (series, held) in saimon.held() {
        let expected = if series == "nobody_announced_this" {
            Kind::Gauge
        } else {
            Kind::Counter
        };
        assert_eq!(held.kind, Some(expected), "{series}");
    }
}

#[test]
fn item_028_of_two_types_of_a_family_the_first_stays() {
    let saimon = Saimon::start();
    let both = v1::Request::new().metadata("a", 1).metadata("a", 2);
    assert_eq!(saimon.write(&both).status, 204);
    let later = v1::Request::new()
        .metadata("a", 2)
        .metadata("b", 2)
        .series(&[("__name__", "a")], &[(NOW_MS, 1.0)])
        .series(&[("__name__", "b_total")], &[(NOW_MS, 1.0)]);
    assert_eq!(saimon.write(&later).status, 204);
    let again = v1::Request::new().metadata("a", 4).metadata("b", 1);
    assert_eq!(saimon.write(&again).status, 204);
    let held = saimon.held();
    assert_eq!(held["a"].kind, Some(Kind::Counter));
    assert_eq!(
        held["b_total"].kind,
        Some(Kind::Gauge),
        "whatever its name says"
    );
}

#[test]
fn item_029_families_are_found_by_stripping_suffixes() {
    let saimon = Saimon::start();
    // By their names alone these would be counters.
    let metadata = v1::Request::new().metadata("family", 2);
    assert_eq!(saimon.write(&metadata).status, 204);
    let names = ["family", "family_total", "family_sum", "family_count"];
    let request = names.iter().fold(v1::Request::new(), |request, name| {
        request.series(&[("__name__", name)], &[(NOW_MS, 1.0)])
    });
    let request = request.series(&[("__name__", "other_total")], &[(NOW_MS, 1.0)]);
    assert_eq!(saimon.write(&request).status, 204);
    let held = saimon.held();
    for name in names {
        assert_eq!(held[name].kind, Some(Kind::Gauge), "{name}");
    }
    assert_eq!(held["other_total"].kind, Some(Kind::Counter));
    // The rest of the suffixes belongs to series that are not scored by themselves.
    for suffix in ["_bucket", "_sum", "_count", "_total", "_created", "_info"] {
        let family = |name: &str| (name == "family").then_some(MetricType::Gauge);
        let found = kind::declared(&format!("family{suffix}"), family);
        assert_eq!(found, Some((Kind::Gauge, Source::Metadata)), "{suffix}");
    }
}

#[test]
fn item_030_an_exemplar_alone_is_fine_and_makes_no_sample() {
    let saimon = Saimon::start();
    let exemplar = v1::exemplar(&[("trace_id", "abc")], NOW_MS, 0.5);
    let request = v1::Request::new()
        .exemplar(UP, exemplar.clone())
        .exemplar(UP, exemplar);
    let response = saimon.write(&request);
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert!(saimon.held().is_empty());
    let counters = saimon.counters();
    assert_eq!(counters.outcomes(), []);
    assert_eq!(counters.exemplars(), 2);
    // Those of a real Prometheus, beside samples.
    let (body, message) = recorded("prom-2.42-00000.snappy");
    saimon.clock.set(newest(&message));
    let exemplars: usize = message.timeseries.iter().map(|t| t.exemplars.len()).sum();
    let samples: usize = message.timeseries.iter().map(|t| t.samples.len()).sum();
    assert!(exemplars > 0);
    assert_eq!(saimon.connect().post(WRITE_HEADERS, &body).status, 204);
    let counters = saimon.counters();
    assert_eq!(counters.exemplars() as usize, 2 + exemplars);
    let counted: u64 = counters.outcomes().iter().map(|(_, n)| n).sum();
    assert_eq!(counted as usize, samples);
}

#[test]
fn item_031_exemplars_and_native_histograms_do_not_make_a_request_fail() {
    let saimon = Saimon::start();
    let native: &[(&str, &str)] = &[("__name__", "request_seconds")];
    let mut both = v1::series(UP, &[(NOW_MS, 1.5)]);
    both.exemplars
        .push(v1::exemplar(&[("trace_id", "x")], NOW_MS, 1.0));
    let request = v1::Request::new()
        .histogram(native, histogram::v1(&histogram::integer(NOW_MS)))
        .entry(both)
        .histogram(native, histogram::v1(&histogram::float(NOW_MS + 1)))
        .histogram(native, histogram::v1(&histogram::empty(NOW_MS + 2)));
    let response = saimon.write(&request);
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(saimon.samples(&labels(UP)), bits(&[(NOW_MS, 1.5)]));
    let counters = saimon.counters();
    assert_eq!((counters.exemplars(), counters.histograms()), (1, 3));
}

#[test]
fn item_032_timestamps_at_the_ends_of_their_range_do_no_harm() {
    let saimon = Saimon::start();
    let early = [
        (i64::MIN, 1.0),
        (i64::MIN + 1, 2.0),
        (-1, 3.0),
        (0, 4.0),
        (NOW_MS, 5.0),
    ];
    let request = v1::Request::new().series(UP, &early);
    assert_eq!(saimon.write(&request).status, 204);
    assert_eq!(saimon.samples(&labels(UP)), bits(&early));
    // A negative one takes ten bytes.
    assert!(Raw::new().int(2, -1).0.len() == 11);
    let late = v1::Request::new().series(UP, &[(i64::MAX, 6.0), (i64::MAX - 1, 7.0)]);
    assert_eq!(saimon.write(&late).status, 400, "far in the future");
    let gauge = v1::Request::new().series(GOOD, &[(i64::MIN, 1.0), (NOW_MS, 1.0)]);
    assert_eq!(saimon.write(&gauge).status, 204);
    for histogram in [
        histogram::integer(i64::MIN),
        histogram::integer(-1),
        histogram::float(i64::MAX),
    ] {
        let request = v1::Request::new().histogram(&[("__name__", "h")], histogram::v1(&histogram));
        assert!([204, 400].contains(&saimon.write(&request).status));
    }
    // All shards are alive.
    saimon.tick();
    let next = v1::Request::new().series(UP, &[(NOW_MS + 1, 8.0)]);
    assert_eq!(saimon.write(&next).status, 204);
    assert_eq!(saimon.samples(&labels(UP)).len(), 6);
}

#[test]
fn item_033_the_staleness_marker_is_known_by_its_bits_alone() {
    let saimon = Saimon::start();
    let values = [
        1.0f64.to_bits(),
        0x7ff8_0000_0000_0001, // Go's NaN
        0x7ff8_0000_0000_0002,
        0x7ff0_0000_0000_0001,
        0x7ff0_0000_0000_0003,
        0xfff0_0000_0000_0002, // the marker with a sign
        u64::MAX,
        f64::INFINITY.to_bits(),
    ];
    let samples: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(i, v)| (NOW_MS + i as i64, f64::from_bits(*v)))
        .collect();
    let request = v1::Request::new().series(UP, &samples);
    assert_eq!(saimon.write(&request).status, 204);
    let held = saimon.held().remove(&labels(UP)).unwrap();
    assert_eq!(held.samples, bits(&samples), "every bit of them");
    assert!(!held.ended);
    assert_eq!(saimon.counters().outcome("stale"), 0);
    let marker = [(NOW_MS + 100, f64::from_bits(STALE_NAN_BITS))];
    assert_eq!(
        saimon.write(&v1::Request::new().series(UP, &marker)).status,
        204
    );
    let held = saimon.held().remove(&labels(UP)).unwrap();
    assert!(held.ended);
    assert_eq!(held.samples.last(), Some(&(NOW_MS + 100, STALE_NAN_BITS)));
    let counters = saimon.counters();
    assert_eq!(counters.outcome("stale"), 1);
    assert_eq!(counters.sum("saimon_series{phase=\"ended\"}"), 1);
    // The next real sample starts it again.
    let back = v1::Request::new().series(UP, &[(NOW_MS + 200, 1.0)]);
    assert_eq!(saimon.write(&back).status, 204);
    assert!(!saimon.held()[&labels(UP)].ended);
    // 50 markers of a target that went down.
    let (body, message) = recorded("prom-2.42-00080.snappy");
    saimon.clock.set(newest(&message));
    assert_eq!(saimon.connect().post(WRITE_HEADERS, &body).status, 204);
    assert_eq!(saimon.counters().outcome("stale"), 51);
}

#[test]
fn item_034_a_stale_histogram_ends_its_series() {
    let saimon = Saimon::with(|setup| setup.detect.warmup = 20);
    let name: &[(&str, &str)] = &[("__name__", "request_seconds"), ("job", "a")];
    let t_ms = |step: i64| NOW_MS - (200 - step) * 15_000;
    let send = |histogram: &histogram::Histogram| {
        let request = v1::Request::new().histogram(name, histogram::v1(histogram));
        assert_eq!(saimon.write(&request).status, 204);
    };
    let counting = |step: i64| {
        let mut histogram = histogram::integer(t_ms(step));
        let more = 10 * step + step % 3;
        histogram.count = Some(Count::CountInt(9 + more as u64));
        histogram.sum += more as f64;
        histogram.positive_deltas[0] += more;
        histogram.positive_deltas[1] -= more;
        histogram
    };
    let scored = || {
        let page = saimon.scores();
        let of = |l: &&str| l.starts_with("saimon_anomaly_score{") && l.contains("request_seconds");
        page.lines().filter(of).count()
    };
    for step in 0..80 {
        send(&counting(step));
    }
    assert_eq!(scored(), 4, "rate, mean and two quantiles");
    let held = saimon.held().remove(&labels(name)).unwrap();
    assert_eq!((held.histograms.len(), held.ended), (80, false));
    send(&histogram::stale(t_ms(80)));
    assert_eq!(scored(), 0);
    let held = saimon.held().remove(&labels(name)).unwrap();
    assert_eq!((held.histograms.len(), held.ended), (81, true));
    let counters = saimon.counters();
    assert_eq!(counters.sum("saimon_series{phase=\"ended\"}"), 4);
    assert_eq!(counters.histogram_outcome("stale"), 1);
    // The next real one starts it again.
    send(&counting(90));
    send(&counting(91));
    assert_eq!(scored(), 4);
    assert!(!saimon.held()[&labels(name)].ended);
    // The float form of the marker; and what a real Prometheus sent when its target was gone.
    let float = histogram::Histogram {
        count: Some(Count::CountFloat(0.0)),
        ..histogram::stale(t_ms(92))
    };
    send(&float);
    assert!(saimon.held()[&labels(name)].ended);
    for file in ["prom-2.42-00080.snappy", "prom-2.42-00091.snappy"] {
        let (body, message) = recorded(file);
        saimon.clock.set(newest(&message));
        assert_eq!(saimon.connect().post(WRITE_HEADERS, &body).status, 204);
    }
    let held = saimon.held();
    let natives = held.values().filter(|h| h.histograms.len() == 2);
    assert_eq!(natives.filter(|h| h.ended).count(), 2);
}

#[test]
fn item_035_odd_values_pass_and_poison_nothing() {
    let saimon = Saimon::with(|setup| setup.detect.warmup = 30);
    let mut rng = fastrand::Rng::with_seed(35);
    let mut t_ms = NOW_MS - 400 * 15_000;
    let mut all = Vec::new();
    let mut send = |values: &[f64]| {
        let samples: Vec<_> = values
            .iter()
            .map(|v| {
                t_ms += 15_000;
                (t_ms, *v)
            })
            .collect();
        let request = v1::Request::new().series(UP, &samples);
        assert_eq!(saimon.write(&request).status, 204);
        all.extend(samples);
    };
    let ordinary = |rng: &mut fastrand::Rng| -> Vec<f64> {
        (0..100).map(|_| 10.0 + rng.f64() + rng.f64()).collect()
    };
    send(&ordinary(&mut rng));
    send(&[
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        5e-324,
        -5e-324,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE / 2.0,
        f64::from_bits(0xffff_ffff_ffff_ffff),
    ]);
    send(&ordinary(&mut rng));
    let read = |page: &str| -> f64 {
        let line = page
            .lines()
            .find(|l| l.starts_with("saimon_anomaly_score{"))
            .unwrap_or_else(|| panic!("no score in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let calm = read(&saimon.scores());
    assert!((0.0..0.9).contains(&calm), "{calm} for an ordinary value");
    send(&ordinary(&mut rng)[..80]);
    // The tails remember what was sent above, so a thousand is not much to this series any more; but it
    // is told from an ordinary value.
    send(&[1_000.0, 1_001.0]);
    let wild = read(&saimon.scores());
    assert!(
        wild > calm + 0.2 && wild <= 1.0,
        "it still sees a fault: {wild} after {calm}"
    );
    assert!(
        saimon.samples(&labels(UP)) == bits(&all),
        "every bit is kept"
    );
    // No encoder writes -0.0; one that did would be understood.
    let body = Raw::new().message(1, &raw::series(&[(b"__name__", b"x")], NOW_MS, -0.0));
    let response = saimon.connect().post(WRITE_HEADERS, &snappy(&body.0));
    assert_eq!(response.status, 204);
    assert_eq!(saimon.samples("x"), bits(&[(NOW_MS, -0.0)]));
}
