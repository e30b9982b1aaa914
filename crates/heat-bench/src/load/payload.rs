//! What the generated devices say: the own JSON with ten readings, noisy and quantised as meters do.

/// A station's quantity: name, level, step and noise in units of its last decimal, and decimals. Units are the standard
/// ones of the names, so no reading carries one.
type Kind = (&'static str, i64, i64, i64, usize);

/// Readings in a message.
pub(crate) const READINGS: usize = 10;

const KINDS: [Kind; READINGS] = [
    ("primary_supply_temperature", 920, 1, 4, 1),
    ("primary_return_temperature", 460, 1, 4, 1),
    ("primary_supply_pressure", 820_000, 1_000, 6_000, 0),
    ("primary_return_pressure", 410_000, 1_000, 6_000, 0),
    ("primary_supply_flow", 1_056, 1, 12, 5),
    ("secondary_supply_temperature", 470, 1, 3, 1),
    ("secondary_return_temperature", 390, 1, 3, 1),
    ("secondary_supply_pressure", 450_000, 1_000, 4_000, 0),
    ("make_up_flow", 11, 1, 3, 5),
    ("heat_power", 1_900_000, 1_000, 25_000, 0),
];

/// Reproducible noise (xorshift64*).
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Bell-like within the amplitude: the mean of two even draws.
    fn within(&mut self, amplitude: i64) -> i64 {
        let bits = self.next();
        let span = 2 * amplitude.unsigned_abs() + 1;
        let draw = |bits: u64| (((bits & 0xffff_ffff) * span) >> 32).cast_signed() - amplitude;
        (draw(bits) + draw(bits >> 32)) / 2
    }
}

/// One device.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) topic: String,
    levels: [i64; READINGS],
    noise: Noise,
    seq: u64,
    time_ms: i64,
}

impl Device {
    /// The device of this number; levels differ by some percent.
    pub(crate) fn new(number: u32, seed: u64) -> Self {
        let mut noise = Noise((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(number)).max(1));
        for _ in 0..8 {
            noise.next();
        }
        let levels = KINDS.map(|(_, level, step, ..)| {
            let level = level + noise.within(level / 10);
            level / step * step
        });
        let topic = format!("heat/v1/bench-{}/station-{number:05}/plc", number % 16);
        Self { topic, levels, noise, seq: 0, time_ms: 0 }
    }

    /// Appends its next message; its times rise by a millisecond at least.
    pub(crate) fn speak(&mut self, now_ms: i64, out: &mut Vec<u8>) {
        self.time_ms = now_ms.max(self.time_ms + 1);
        out.extend_from_slice(b"{\"time\":");
        push_decimal(out, self.time_ms, 0);
        out.extend_from_slice(b",\"seq\":");
        push_decimal(out, self.seq.cast_signed(), 0);
        out.extend_from_slice(b",\"boot\":\"a1\",\"values\":{");
        self.seq += 1;
        for (at, ((name, _, step, noise, decimals), level)) in KINDS.iter().zip(self.levels).enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            let value = (level + self.noise.within(*noise)) / step * step;
            push_decimal(out, value, *decimals);
        }
        out.extend_from_slice(b"}}");
    }
}

/// Appends `value / 10^decimals`, exactly.
fn push_decimal(out: &mut Vec<u8>, value: i64, decimals: usize) {
    let mut digits = [b'0'; 24];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    while rest > 0 || digits.len() - at <= decimals {
        at -= 1;
        digits[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
    }
    if value < 0 {
        out.push(b'-');
    }
    let point = digits.len() - decimals;
    out.extend_from_slice(&digits[at..point]);
    if decimals > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use heat_codec::{decoded::Limits, own_json::Decoder};

    use super::*;

    #[test]
    fn decimals_are_written_exactly() {
        for (value, decimals, text) in [
            (0, 0, "0"),
            (7, 0, "7"),
            (-12, 1, "-1.2"),
            (11, 5, "0.00011"),
            (920, 1, "92.0"),
            (-3, 2, "-0.03"),
        ] {
            let mut out = Vec::new();
            push_decimal(&mut out, value, decimals);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn every_message_is_the_own_json_with_ten_good_readings_and_a_time_of_its_own() {
        let mut device = Device::new(3, 1);
        let mut decoder = Decoder::new(Limits::default());
        let mut payloads = Vec::new();
        for _ in 0..100 {
            let mut out = Vec::new();
            device.speak(1_795_500_000_000, &mut out);
            let decoded = decoder.decode(&out);
            assert!(decoded.rejects().is_empty(), "{:?}", decoded.rejects());
            assert_eq!(decoded.values_len(), READINGS);
            payloads.push(out);
        }
        payloads.sort();
        payloads.dedup();
        assert_eq!(payloads.len(), 100);
    }

    #[test]
    fn the_same_seed_says_the_same() {
        let speak = |seed| {
            let mut out = Vec::new();
            Device::new(3, seed).speak(5, &mut out);
            out
        };
        assert_eq!(speak(1), speak(1));
        assert_ne!(speak(1), speak(2));
    }
}
