//! A page of Prometheus as a real Chromium shows it: what its graphs draw, and a picture of it.
//!
//! It knows the graphs of Prometheus' classic page (Rickshaw: a path of SVG for each line, a legend with
//! its colour), which Debian's package has.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// One line of a graph.
#[derive(Debug)]
pub(crate) struct Line {
    /// As the legend has it, without its labels.
    pub(crate) name: String,
    pub(crate) colour: [u8; 3],
    pub(crate) points: usize,
    /// From its lowest to its highest point, in pixels.
    pub(crate) height: f64,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Line>,
    /// PNG.
    pub(crate) picture: Vec<u8>,
}

/// Opens an address in a window of this size and waits until it has drawn.
pub(crate) fn visit(address: &str, (width, height): (u32, u32)) -> Page {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("page.png");
    let size = format!("--window-size={width},{height}");
    let page = chromium(folder.path(), &["--dump-dom", &size, address]);
    let file = format!("--screenshot={}", picture.display());
    chromium(folder.path(), &[&file, &size, address]);
    Page {
        lines: lines(&String::from_utf8_lossy(&page)),
        picture: std::fs::read(picture).unwrap(),
    }
}

/// `CHROMIUM` names another one.
fn chromium(profile: &Path, args: &[&str]) -> Vec<u8> {
    let named = std::env::var("CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    for name in named.into_iter().chain(names) {
        let done = Command::new(&name)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--hide-scrollbars", "--virtual-time-budget=10000"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(args)
            .output();
        match done {
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr);
                assert!(done.status.success(), "{name} {args:?}: {said}");
                return done.stdout;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => panic!("cannot start {name}: {e}"),
        }
    }
    panic!("there is no Chromium: install Debian's chromium, or name one with CHROMIUM");
}

/// The lines of all graphs: each legend with the path that has its colour, in the same graph.
fn lines(page: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for graph in page.split("graph_container active").skip(1) {
        let paths: BTreeMap<[u8; 3], &str> = graph
            .split("<path ")
            .skip(1)
            .filter_map(|path| Some((colour(attribute(path, "stroke")?)?, attribute(path, "d")?)))
            .collect();
        for legend in graph.split("class=\"swatch\"").skip(1) {
            let style = attribute(legend, "style").unwrap_or_default();
            let Some(colour) = style
                .split_once("background-color:")
                .and_then(|s| colour(s.1))
            else {
                continue;
            };
            let label = legend.split_once("class=\"label\">").map_or("", |(_, l)| l);
            let end = label.find(['{', '<']).unwrap_or(label.len());
            let heights = paths.get(&colour).map(|d| heights(d)).unwrap_or_default();
            let (low, high) = heights
                .iter()
                .fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(*y), h.max(*y)));
            found.push(Line {
                name: text(&label[..end]),
                colour,
                points: heights.len(),
                height: (high - low).max(0.0),
            });
        }
    }
    found
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = &tag[..tag.find('>')?];
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Without the tags within.
fn text(html: &str) -> String {
    let mut out = String::new();
    let mut tag = false;
    for c in html.chars() {
        match c {
            '<' => tag = true,
            '>' => tag = false,
            c if !tag => out.push(c),
            _ => {}
        }
    }
    out.trim().to_owned()
}

/// As `rgb(1, 2, 3)` or `#010203`.
fn colour(text: &str) -> Option<[u8; 3]> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix('#') {
        let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        return Some([part(0)?, part(2)?, part(4)?]);
    }
    let parts = text.strip_prefix("rgb(")?.split_once(')')?.0;
    let mut parts = parts.split(',').map(|p| p.trim().parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// The heights of the points of a path.
fn heights(d: &str) -> Vec<f64> {
    let points = d.split(['M', 'L', 'C', 'Q', 'S', 'T', 'Z']);
    let last = |point: &str| point.rsplit(',').next()?.trim().parse().ok();
    points.filter_map(last).collect()
}

/// How many pixels a picture has of each colour.
pub(crate) fn colours(png: &[u8]) -> BTreeMap<[u8; 3], usize> {
    let mut chunks = &png[8..];
    let (mut width, mut deep) = (0, 0);
    let mut packed = Vec::new();
    while chunks.len() >= 12 {
        let size = u32::from_be_bytes(chunks[..4].try_into().unwrap()) as usize;
        let (kind, data) = (&chunks[4..8], &chunks[8..8 + size]);
        match kind {
            b"IHDR" => {
                width = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                assert_eq!(data[8], 8, "bits of a colour");
                deep = match data[9] {
                    2 => 3,
                    6 => 4,
                    other => panic!("a picture of kind {other}"),
                };
            }
            b"IDAT" => packed.extend_from_slice(data),
            _ => {}
        }
        chunks = &chunks[12 + size..];
    }
    let rows = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
    let mut found = BTreeMap::new();
    let mut above = vec![0; width * deep];
    for row in rows.chunks_exact(1 + width * deep) {
        let mut now = row[1..].to_vec();
        for i in 0..now.len() {
            let left = if i >= deep { now[i - deep] } else { 0 };
            let corner = if i >= deep { above[i - deep] } else { 0 };
            let up: u8 = above[i];
            let add = match row[0] {
                0 => 0,
                1 => left,
                2 => up,
                3 => u8::midpoint(left, up),
                4 => paeth(left, up, corner),
                other => panic!("a filter of kind {other}"),
            };
            now[i] = now[i].wrapping_add(add);
        }
        for pixel in now.chunks_exact(deep) {
            *found.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
        }
        above = now;
    }
    found
}

/// The neighbour that is nearest to what they make together.
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |of: u8| (guess - i16::from(of)).abs();
    if far(left) <= far(up) && far(left) <= far(corner) {
        left
    } else if far(up) <= far(corner) {
        up
    } else {
        corner
    }
}
