//! Elementary functions from additions and multiplications only, so that a city is the same on every platform
//! (the system's `exp` and `sin` differ in the last bit), and the random numbers of the simulator.

use std::f64::consts::{LN_2, TAU};

/// e^x for |x| up to 700, within 1e-14 relative.
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x / LN_2 + 0.5).floor();
    let r = x - k * LN_2;
    // Taylor to r^13 / 13!, |r| at most 0.35.
    const COEFFICIENTS: [f64; 13] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
    ];
    let sum = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * r + coefficient) * r + 1.0;
    #[expect(clippy::cast_possible_truncation, reason = "|k| is at most 1,010")]
    let exponent = k as i64;
    sum * f64::from_bits(u64::try_from(1_023 + exponent).expect("an exponent between 13 and 2,033") << 52)
}

/// Share of the way to a constant target that a first-order lag goes in `dt_s`.
pub(crate) fn lag(dt_s: f64, time_constant_s: f64) -> f64 {
    1.0 - exp(-dt_s / time_constant_s)
}

/// A first-order lag that remembers its last step's share, since steps are mostly alike.
#[derive(Debug, Clone)]
pub(crate) struct Lag {
    time_constant_s: f64,
    of_step: (f64, f64),
}

impl Lag {
    pub(crate) fn new(time_constant_s: f64) -> Self {
        Self { time_constant_s, of_step: (0.0, 0.0) }
    }

    /// [`lag`] of a step.
    pub(crate) fn share(&mut self, dt_s: f64) -> f64 {
        if self.of_step.0.to_bits() != dt_s.to_bits() {
            self.of_step = (dt_s, lag(dt_s, self.time_constant_s));
        }
        self.of_step.1
    }
}

/// sin(2 pi x), within 1e-11.
pub(crate) fn sin_turns(x: f64) -> f64 {
    let x = x - (x + 0.5).floor();
    let folded = if x > 0.25 {
        0.5 - x
    } else if x < -0.25 {
        -0.5 - x
    } else {
        x
    };
    let angle = folded * TAU;
    let square = angle * angle;
    let mut term = angle;
    let mut sum = angle;
    for n in 1_u8..=9 {
        term *= -square / f64::from(2 * u32::from(n) * (2 * u32::from(n) + 1));
        sum += term;
    }
    sum
}

/// Finaliser of SplitMix64 (Steele, Lea & Flood 2014): a good hash of 64 bits.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A hash of a text, for seeds of named things.
pub(crate) fn hash_text(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)))
}

/// From 64 random bits to [0, 1).
pub(crate) fn unit(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let mantissa = (bits >> 11) as f64;
    mantissa / 9_007_199_254_740_992.0
}

/// From 64 random bits to a number of mean 0 and deviation 1 within +-3.46: the sum of four uniform ones.
pub(crate) fn bell(bits: u64) -> f64 {
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xFFFF).sum();
    // At most 4 * 65,535.
    let sum = f64::from(u32::try_from(sum).expect("four times 16 bits"));
    (sum / 65_535.0 - 2.0) * 1.732_050_807_568_877_2
}

/// Noise that is a smooth function of time: deviation about 0.8, it changes over about one unit of `x`.
pub(crate) fn smooth_noise(seed: u64, x: f64) -> f64 {
    let cell = x.floor();
    let t = x - cell;
    let at = |offset: f64| bell(mix(seed ^ (cell + offset).to_bits()));
    let weight = t * t * (3.0 - 2.0 * t);
    at(0.0) * (1.0 - weight) + at(1.0) * weight
}

/// xoshiro256++ (Blackman & Vigna 2019), seeded by SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random([u64; 4]);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            let word = mix(state);
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            word
        }))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * unit(self.bits())
    }

    pub(crate) fn bell(&mut self) -> f64 {
        bell(self.bits())
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        unit(self.bits()) < share
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a length");
        usize::try_from(self.bits() % bound).expect("below a length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_agree_with_the_systems() {
        for step in -2_000..2_000 {
            let x = f64::from(step) / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14, "exp {x}");
            assert!((sin_turns(x) - (x * TAU).sin()).abs() < 1e-11, "sin {x}");
        }
    }

    #[test]
    fn the_generators_give_their_published_sequences() {
        // SplitMix64 from 0; xoshiro256++ from the state 1, 2, 3, 4.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!([random.bits(), random.bits()], [41_943_041, 58_720_359]);
    }

    #[test]
    fn noise_has_mean_0_and_deviation_1_and_smooth_noise_no_jumps() {
        let mut random = Random::new(7);
        let values: Vec<f64> = (0..20_000).map(|_| random.bell()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");

        let smooth: Vec<f64> = (0..5_000).map(|i| smooth_noise(3, f64::from(i) / 100.0)).collect();
        assert!(smooth.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.12));
    }
}
