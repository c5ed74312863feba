//! What the watcher of the demo sees: one screen, drawn anew each second, or lines.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::stack::pages::display;
use crate::story::Story;
use crate::watch::View;

const SCORES_SHOWN: usize = 8;
const ANOMALIES_SHOWN: usize = 6;
const ALERTS_SHOWN: usize = 6;
const REDRAW: Duration = Duration::from_secs(1);
/// Between two lines that say where we are, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

#[derive(Debug)]
pub(crate) struct Screen {
    /// The first lines: where to look.
    welcome: Vec<String>,
    events: Vec<String>,
    terminal: bool,
    drawn: Option<Instant>,
}

impl Screen {
    pub(crate) fn new(welcome: Vec<String>, terminal: bool) -> Self {
        if terminal {
            // another screen, without a cursor and without wrapping
            print!("\x1b[?1049h\x1b[?25l\x1b[?7l");
        } else {
            println!("{}\n", welcome.join("\n"));
        }
        Self {
            welcome,
            events: Vec::new(),
            terminal,
            drawn: None,
        }
    }

    pub(crate) fn say(&mut self, event: String) {
        if !self.terminal {
            println!("{event}");
        }
        self.events.push(event);
    }

    pub(crate) fn show(&mut self, now: Instant, view: &View, story: &Story) {
        let pause = if self.terminal { REDRAW } else { LINE_EVERY };
        if self.drawn.is_some_and(|then| now - then < pause) {
            return;
        }
        self.drawn = Some(now);
        if self.terminal {
            self.draw(view, story);
        } else if !story.is_over() {
            println!("{}", story.phase(view));
        }
    }

    fn draw(&self, view: &View, story: &Story) {
        let mut lines = self.welcome.clone();
        lines.push(String::new());
        lines.push(format!("{BOLD}{}{PLAIN}", story.phase(view)));
        lines.extend(self.events.iter().map(|e| format!("  {e}")));
        lines.push(String::new());

        lines.push(format!("{BOLD}highest scores{PLAIN}"));
        for score in view.scores.iter().take(SCORES_SHOWN) {
            let colour = if score.score >= 0.7 { RED } else { "" };
            lines.push(format!(
                "  {colour}{:.3} {}{PLAIN} {}",
                score.score,
                bar(score.score),
                display(&score.metric, &score.labels, &[])
            ));
        }
        if view.scores.is_empty() {
            lines.push(format!("  {DIM}none before the warm-up is over{PLAIN}"));
        }
        section(
            &mut lines,
            "anomalies (saimon_anomaly)",
            ANOMALIES_SHOWN,
            view.anomalies
                .iter()
                .map(|a| {
                    let word = |key: &str| a.get(key).map_or("", String::as_str);
                    let rest = ["state", "severity", "direction", "reason", "source_metric"];
                    format!(
                        "{} {} {} {}  {}",
                        word("state"),
                        word("severity"),
                        word("direction"),
                        word("reason"),
                        display(word("source_metric"), a, &rest)
                    )
                })
                .collect(),
        );
        section(
            &mut lines,
            "the incident, and its page",
            2,
            view.incident
                .iter()
                .flat_map(|i| [i.summary.clone(), i.address.clone()])
                .collect(),
        );
        section(
            &mut lines,
            "alerts in Alertmanager",
            ALERTS_SHOWN,
            view.alerts
                .iter()
                .map(|a| {
                    let name = a.get("alertname").map_or("", String::as_str);
                    display(name, a, &["alertname"])
                })
                .collect(),
        );
        section(
            &mut lines,
            "what is really wrong (the generator's truth)",
            ALERTS_SHOWN,
            view.truth.clone(),
        );
        lines.push(String::new());
        lines.push(format!("{DIM}Ctrl-C stops everything{PLAIN}"));

        let mut out = std::io::stdout().lock();
        // a terminal that is gone is no reason to stop before the processes are ended
        let _ = write!(out, "\x1b[H");
        for line in lines {
            let _ = write!(out, "{line}\x1b[K\r\n");
        }
        let _ = write!(out, "\x1b[J");
        let _ = out.flush();
    }
}

fn section(lines: &mut Vec<String>, title: &str, shown: usize, rows: Vec<String>) {
    lines.push(String::new());
    lines.push(format!("{BOLD}{title}{PLAIN}"));
    if rows.is_empty() {
        lines.push(format!("  {DIM}none{PLAIN}"));
    }
    let hidden = rows.len().saturating_sub(shown);
    lines.extend(rows.into_iter().take(shown).map(|r| format!("  {r}")));
    if hidden > 0 {
        lines.push(format!("  {DIM}and {hidden} more{PLAIN}"));
    }
}

/// Twenty characters wide.
fn bar(score: f64) -> String {
    let filled = (score.clamp(0.0, 1.0) * 20.0).round() as usize;
    format!("{}{}", "#".repeat(filled), ".".repeat(20 - filled))
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            print!("\x1b[?7h\x1b[?25h\x1b[?1049l");
            println!("{}", self.welcome.join("\n"));
            println!("{}", self.events.join("\n"));
        }
    }
}
