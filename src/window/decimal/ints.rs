//! A run of whole numbers in few bits.
//!
//! Each number is foretold from those before it and the difference is written; which foretelling and
//! which code need the fewest bits is found by trying, run by run. Differences are written in an
//! adaptive Golomb-Rice code (Weinberger, Seroussi, Sapiro: "The LOCO-I Lossless Image Compression
//! Algorithm", IEEE Trans. Image Processing 9, 2000, section III-C), with an Elias gamma code
//! behind it for what is far off: series are calm and jump now and then.
//!
//! What always holds: any numbers come back, in wrapping arithmetic; reading is bounded by the count
//! that it is told.

use super::bits::{BitReader, BitWriter};

/// Rice quotients from here on are written in gamma code.
const UNARY_MAX: u32 = 5;

/// From this length on, the length of what is behind the quotients is written in six bits more.
const LONG: u32 = 7;

/// Differences that the adaptation looks back on, about.
const MEMORY: u64 = 16;

/// A difference counts for at most so many times the mean.
const JUMP: u64 = 6;

/// Low bits at most, and bits of where they begin: the mean times [`MEMORY`] and [`JUMP`] fits.
const LOW_MAX: u32 = 52;
const LOW_BITS: u32 = 6;

/// How a number is foretold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// By the middle of all.
    Level,
    /// By the one before it and the middle step.
    Step,
    /// By the last two, as a line.
    Line,
    /// By the first one and the middle step: a clock that is read late now and then.
    Clock,
}

/// How a run is written: a guess, and what is done with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// The guess is always right.
    Exact(Guess),
    /// All differences in the adaptive code.
    Dense(Guess),
    /// Lengths of stretches without a difference, and the differences between them.
    Sparse(Guess),
}

/// Their numbers are written: never changed, only added to.
const METHODS: [Method; 9] = [
    Method::Exact(Guess::Level),
    Method::Exact(Guess::Step),
    Method::Dense(Guess::Level),
    Method::Dense(Guess::Step),
    Method::Dense(Guess::Line),
    Method::Dense(Guess::Clock),
    Method::Sparse(Guess::Level),
    Method::Sparse(Guess::Step),
    Method::Sparse(Guess::Clock),
];
const METHOD_BITS: u32 = 4;

/// Memory that is used again for the next run.
#[derive(Debug, Default)]
pub(in crate::window) struct Scratch {
    differences: Vec<u64>,
    sorted: Vec<i64>,
}

/// What a guess needs to know beside the numbers.
#[derive(Debug, Clone, Copy)]
struct Setting {
    first: i64,
    middle: i64,
}

impl Guess {
    fn setting(self, values: &[i64], sorted: &mut Vec<i64>) -> Setting {
        sorted.clear();
        match self {
            Self::Level => sorted.extend_from_slice(values),
            Self::Step | Self::Clock => {
                sorted.extend(values.windows(2).map(|w| w[1].wrapping_sub(w[0])));
            }
            Self::Line => {}
        }
        let half = sorted.len() / 2;
        let middle = match sorted.is_empty() {
            true => 0,
            false => *sorted.select_nth_unstable(half).1,
        };
        Setting {
            first: values.first().copied().unwrap_or(0),
            middle,
        }
    }

    /// What number `i` should be.
    #[inline]
    fn of(self, setting: Setting, i: usize, last: [i64; 2]) -> i64 {
        let Setting { first, middle } = setting;
        match self {
            Self::Level => middle,
            Self::Step => last[0].wrapping_add(middle),
            Self::Line if i == 1 => last[0],
            Self::Line => last[0].wrapping_mul(2).wrapping_sub(last[1]),
            Self::Clock => first.wrapping_add(middle.wrapping_mul(i as i64)),
        }
    }

    /// Guesses that begin with the first number have nothing to say of it.
    fn from(self) -> usize {
        usize::from(self != Self::Level)
    }
}

/// Differences to the guesses, small ones of either sign as small numbers.
fn differences(guess: Guess, setting: Setting, values: &[i64], out: &mut Vec<u64>) {
    out.clear();
    let mut last = [setting.first; 2];
    for (i, value) in values.iter().enumerate() {
        if i >= guess.from() {
            out.push(zigzag(value.wrapping_sub(guess.of(setting, i, last))));
        }
        last = [*value, last[0]];
    }
}

/// Writes `values`, of which a reader must know how many they are.
pub(in crate::window) fn write(values: &[i64], out: &mut BitWriter, scratch: &mut Scratch) {
    let guesses = [Guess::Level, Guess::Step, Guess::Line];
    write_best(&guesses, values, out, scratch);
}

/// As [`write`], for times at a nearly steady pace; [`read`] reads both.
pub(in crate::window) fn write_times(times: &[i64], out: &mut BitWriter, scratch: &mut Scratch) {
    write_best(&[Guess::Step, Guess::Clock], times, out, scratch);
}

fn write_best(guesses: &[Guess], values: &[i64], out: &mut BitWriter, scratch: &mut Scratch) {
    let mut best: Option<(u64, usize)> = None;
    for guess in guesses.iter().copied() {
        let setting = guess.setting(values, &mut scratch.sorted);
        differences(guess, setting, values, &mut scratch.differences);
        let head = head_bits(guess, setting);
        let zeros = scratch.differences.iter().filter(|d| **d == 0).count();
        let zero = zeros == scratch.differences.len();
        // Where stretches are short, their lengths cost more than zeros do.
        let calm = zeros > scratch.differences.len() / 2;
        for (number, method) in METHODS.iter().enumerate() {
            let bits = match method {
                Method::Exact(g) if *g == guess && zero => head,
                Method::Dense(g) if *g == guess && !zero => {
                    head + counted(|count| dense(&scratch.differences, count))
                }
                Method::Sparse(g) if *g == guess && !zero && calm => {
                    head + counted(|count| sparse(&scratch.differences, count))
                }
                _ => continue,
            };
            if best.is_none_or(|(least, _)| bits < least) {
                best = Some((bits, number));
            }
        }
        if zero && guess != Guess::Line {
            break;
        }
    }
    let number = best.map_or(0, |(_, number)| number);
    out.write(number as u64, METHOD_BITS);
    let (Method::Exact(guess) | Method::Dense(guess) | Method::Sparse(guess)) = METHODS[number];
    let setting = guess.setting(values, &mut scratch.sorted);
    if guess != Guess::Level {
        write_number(setting.first, out);
    }
    if guess != Guess::Line {
        write_number(setting.middle, out);
    }
    differences(guess, setting, values, &mut scratch.differences);
    match METHODS[number] {
        Method::Exact(_) => {}
        Method::Dense(_) => dense(&scratch.differences, out),
        Method::Sparse(_) => sparse(&scratch.differences, out),
    }
}

/// Where codes go: into bits, or only into their count.
trait Sink {
    fn put(&mut self, value: u64, n: u32);
}

impl Sink for BitWriter {
    #[inline]
    fn put(&mut self, value: u64, n: u32) {
        self.write(value, n);
    }
}

struct Count(u64);

impl Sink for Count {
    #[inline]
    fn put(&mut self, _: u64, n: u32) {
        self.0 += u64::from(n);
    }
}

fn counted(code: impl FnOnce(&mut Count)) -> u64 {
    let mut count = Count(0);
    code(&mut count);
    count.0
}

/// Reads `count` numbers as [`write`] wrote them; `None` if there are no such.
pub(in crate::window) fn read(
    bits: &mut BitReader<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Option<()> {
    let method = *METHODS.get(bits.read(METHOD_BITS)? as usize)?;
    let (Method::Exact(guess) | Method::Dense(guess) | Method::Sparse(guess)) = method;
    let mut setting = Setting {
        first: 0,
        middle: 0,
    };
    if guess != Guess::Level {
        setting.first = read_number(bits)?;
    }
    if guess != Guess::Line {
        setting.middle = read_number(bits)?;
    }
    let mut rice = match method {
        Method::Exact(_) => Rice::new(0),
        Method::Dense(_) | Method::Sparse(_) => Rice::resume(bits)?,
    };
    let (mut runs, mut calm) = (Rice::new(0), 0);
    if let Method::Sparse(_) = method {
        runs = Rice::resume(bits)?;
        calm = runs.read(bits)?;
    }
    let mut last = [setting.first; 2];
    for i in 0..count {
        let difference = match method {
            _ if i < guess.from() => {
                out.push(setting.first);
                continue;
            }
            Method::Exact(_) => 0,
            Method::Dense(_) => rice.read(bits)?,
            Method::Sparse(_) if calm > 0 => {
                calm -= 1;
                0
            }
            Method::Sparse(_) => {
                let difference = rice.read(bits)?.checked_add(1)?;
                if i + 1 < count {
                    calm = runs.read(bits)?;
                }
                difference
            }
        };
        let value = guess
            .of(setting, i, last)
            .wrapping_add(unzigzag(difference));
        out.push(value);
        last = [value, last[0]];
    }
    Some(())
}

/// Every difference.
fn dense(differences: &[u64], out: &mut impl Sink) {
    let mut rice = Rice::begin(differences.iter().copied(), out);
    for difference in differences {
        rice.put(*difference, out);
    }
}

/// Stretches of zeros and what is between them.
fn sparse(differences: &[u64], out: &mut impl Sink) {
    let jumps = || differences.iter().filter(|d| **d != 0).map(|d| d - 1);
    let mut rice = Rice::begin(jumps(), out);
    let mut runs = Rice::begin(
        differences.split(|d| *d != 0).map(|calm| calm.len() as u64),
        out,
    );
    let mut calm = 0;
    for difference in differences {
        if *difference == 0 {
            calm += 1;
            continue;
        }
        runs.put(calm, out);
        rice.put(difference - 1, out);
        calm = 0;
    }
    // A reader that has all its numbers asks for no further stretch.
    if calm > 0 {
        runs.put(calm, out);
    }
}

/// A number of unknown size: how many bits it has, and these.
fn write_number(value: i64, out: &mut BitWriter) {
    let value = zigzag(value);
    let len = u64::BITS - value.leading_zeros();
    out.write(u64::from(len), 7);
    out.write(value, len);
}

fn read_number(bits: &mut BitReader<'_>) -> Option<i64> {
    let len = bits.read(7)? as u32;
    (len <= 64).then(|| bits.read(len)).flatten().map(unzigzag)
}

fn head_bits(guess: Guess, setting: Setting) -> u64 {
    let bits = |value: i64| u64::from(7 + u64::BITS - zigzag(value).leading_zeros());
    match guess {
        Guess::Level => bits(setting.middle),
        Guess::Line => bits(setting.first),
        Guess::Step | Guess::Clock => bits(setting.first) + bits(setting.middle),
    }
}

/// The adaptive code: how many low bits of a number are written as they are follows the mean of
/// those before it.
#[derive(Debug)]
struct Rice {
    /// Mean times [`MEMORY`].
    sum: u64,
}

impl Rice {
    fn new(low: u32) -> Self {
        Self {
            sum: MEMORY << low.min(LOW_MAX),
        }
    }

    /// Writes where the adaptation begins: at the mean of all.
    fn begin(values: impl Iterator<Item = u64>, out: &mut impl Sink) -> Self {
        let (sum, count) = values.fold((0u64, 0), |(sum, count), v| {
            (sum.saturating_add(v.min(1 << LOW_MAX)), count + 1)
        });
        let low = (sum / count.max(1)).checked_ilog2().unwrap_or(0);
        out.put(u64::from(low), LOW_BITS);
        Self::new(low)
    }

    fn resume(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self::new(bits.read(LOW_BITS)? as u32))
    }

    #[inline]
    fn low_bits(&self) -> u32 {
        (self.sum / MEMORY).checked_ilog2().unwrap_or(0)
    }

    #[inline]
    fn learn(&mut self, value: u64) {
        let mean = self.sum / MEMORY;
        // One jump must not spoil what follows: it counts for a few times what is usual, which
        // still follows a change for good within a few numbers.
        self.sum = self.sum - mean + value.min((mean + 1) * JUMP).min(1 << LOW_MAX);
    }

    #[inline]
    fn put(&mut self, value: u64, out: &mut impl Sink) {
        let low = self.low_bits();
        let quotient = value >> low;
        match quotient.checked_sub(UNARY_MAX.into()) {
            None => out.put((2 << quotient) - 2, quotient as u32 + 1),
            Some(rest) => {
                // The length of the rest, and its bits below the top one.
                let rest = rest + 1;
                let len = rest.ilog2();
                out.put((1 << UNARY_MAX) - 1, UNARY_MAX);
                out.put(len.min(LONG).into(), 3);
                if len >= LONG {
                    out.put(len.into(), 6);
                }
                out.put(rest, len);
            }
        }
        out.put(value, low);
        self.learn(value);
    }

    #[inline]
    fn read(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        let low = self.low_bits();
        let ones = bits.ones(UNARY_MAX)?;
        let quotient = if ones < UNARY_MAX {
            u64::from(ones)
        } else {
            let mut len = bits.read(3)? as u32;
            if len == LONG {
                len = bits.read(6)? as u32;
            }
            let rest = 1u64 << len | bits.read(len)?;
            (rest - 1).checked_add(UNARY_MAX.into())?
        };
        if quotient.leading_zeros() < low {
            return None;
        }
        let value = quotient << low | bits.read(low)?;
        self.learn(value);
        Some(value)
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(values: &[i64]) -> Vec<u8> {
        let forms = [write, write_times].map(|write| {
            let mut out = BitWriter::default();
            write(values, &mut out, &mut Scratch::default());
            out.finish()
        });
        forms.into_iter().min_by_key(Vec::len).unwrap()
    }

    #[track_caller]
    fn back(values: &[i64]) -> usize {
        let bytes = written(values);
        let (mut bits, mut out) = (BitReader::new(&bytes), Vec::new());
        read(&mut bits, values.len(), &mut out).unwrap();
        assert_eq!(out, values);
        assert!(bits.at_end());
        bytes.len()
    }

    #[test]
    fn every_kind_of_run_finds_its_method() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut noise = |n: i64| rng.i64(-n..=n);
        assert_eq!(back(&[]), 2);
        assert!(back(&[1 << 40; 120]) <= 8);
        assert!(back(&(0..120).map(|i| 7 + i * 15_000).collect::<Vec<_>>()) <= 7);
        let clock: Vec<i64> = (0..120).map(|i| i * 15_000 + noise(2)).collect();
        assert!(back(&clock) <= 120 * 3 / 8 + 10);
        let level: Vec<i64> = (0..120).map(|_| 1000 + noise(8)).collect();
        assert!(back(&level) <= 120 * 5 / 8 + 5);
        let walk: Vec<i64> = level
            .iter()
            .scan(0, |sum, v| {
                *sum += v;
                Some(*sum)
            })
            .collect();
        assert!(back(&walk) <= 120 * 5 / 8 + 10);
        let line: Vec<i64> = (0..120)
            .map(|i| (f64::from(i) / 20.0).sin().mul_add(10_000.0, 0.0) as i64)
            .collect();
        assert!(back(&line) <= 120 * 7 / 8);
        let steps: Vec<i64> = (0..120).map(|i| i / 40 * 1_000_000).collect();
        assert!(back(&steps) <= 18);
        let spike: Vec<i64> = (0..120).map(|i| i64::from(i == 60) * 5).collect();
        assert!(back(&spike) <= 8);
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(values in prop_oneof![
            prop::collection::vec(any::<i64>(), 0..50),
            prop::collection::vec(prop_oneof![Just(0i64), -3..3i64, any::<i64>()], 0..200),
            prop::collection::vec(-100..100i64, 0..200),
        ]) {
            back(&values);
        }

        #[test]
        fn anything_at_all_is_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0..500usize,
        ) {
            let _ = read(&mut BitReader::new(&bytes), count, &mut Vec::new());
        }
    }
}
