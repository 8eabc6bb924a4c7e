//! Which instruction set to use, found at run time.

use crate::element::Bf16;
use crate::plan::{Plan, Request, BF16, FP32};
use crate::run::run;
use crate::team::Team;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// Evaluates an expression with `$lanes` as the lanes of an instruction set.
macro_rules! with_lanes {
    ($isa:expr, $lanes:ident => $body:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                type $lanes = crate::isa::avx512::Avx512;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                type $lanes = crate::isa::avx2::Avx2;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                type $lanes = crate::isa::neon::Neon;
                $body
            }
            Isa::Portable => {
                type $lanes = crate::isa::portable::Portable;
                $body
            }
        }
    };
}
pub(crate) use with_lanes;

impl Isa {
    /// Those that this crate was built with, best first.
    pub const ALL: &'static [Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Portable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Whether this machine and its operating system have it.
    pub fn is_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable => true,
        }
    }

    pub fn here() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| isa.is_here())
    }

    /// Whether it computes in a precision.
    pub fn computes(self, precision: u32) -> bool {
        matches!(precision, FP32 | BF16)
    }

    /// Those of this machine that compute in a precision, best first.
    pub fn of(precision: u32) -> impl Iterator<Item = Self> {
        Self::here().filter(move |isa| isa.computes(precision))
    }

    pub fn plan(self, request: &Request) -> Plan {
        with_lanes!(self, L => match request.precision {
            BF16 => Plan::new::<L, Bf16>(request, 0),
            _ => Plan::new::<L, f32>(request, 0),
        })
    }

    /// # Safety
    /// As `run::run`; the plan is this instruction set's, which is here.
    pub unsafe fn run(self, plan: &Plan, base: usize, team: &Team, thread: usize) -> u32 {
        with_lanes!(self, L => match plan.request.precision {
            BF16 => run::<L, Bf16>(plan, base, team, thread),
            _ => run::<L, f32>(plan, base, team, thread),
        })
    }
}
