//! Physical quantities as types, for interfaces between modules. Inner loops use `f64` with the unit in the name.

use serde::{Deserialize, Serialize};

/// The value is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a finite number")]
pub struct NotFinite;

/// Defines one quantity; a macro, because the types differ only in name and unit.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0.0);

            /// Takes a finite number.
            pub fn new(value: f64) -> Result<Self, NotFinite> {
                if value.is_finite() { Ok(Self(value)) } else { Err(NotFinite) }
            }

            /// The number, in the unit of the type's name.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl std::ops::Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl std::ops::Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl std::ops::Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }
    };
}

quantity!(
    /// Temperature, degC.
    Celsius
);
quantity!(
    /// Pressure, Pa; gauge unless said otherwise.
    Pascals
);
quantity!(
    /// Mass flow, kg/s.
    KilogramsPerSecond
);
quantity!(
    /// Volume flow, m3/s.
    CubicMetresPerSecond
);
quantity!(
    /// Volume, m3.
    CubicMetres
);
quantity!(
    /// Density, kg/m3.
    KilogramsPerCubicMetre
);
quantity!(
    /// Heat flow, W.
    Watts
);
quantity!(
    /// Length, m.
    Metres
);

impl KilogramsPerCubicMetre {
    /// Mass flow of a volume flow of this density.
    #[must_use]
    pub fn mass_flow(self, volume_flow: CubicMetresPerSecond) -> KilogramsPerSecond {
        KilogramsPerSecond(self.0 * volume_flow.0)
    }
}
