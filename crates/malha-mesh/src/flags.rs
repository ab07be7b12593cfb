//! Envoy's response flags: what a proxy has to say about an answer beside its status
//! (Envoy, "Access logging", `%RESPONSE_FLAGS%`).

use std::fmt;

macro_rules! flags {
    ($($flag:ident $short:literal $what:literal,)*) => {
        /// One flag.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Flag {
            $(#[doc = concat!("`", $short, "`: ", $what)] $flag,)*
        }

        /// By number.
        const ALL: &[(Flag, &str)] = &[$((Flag::$flag, $short),)*];
    };
}

flags! {
    NoHealthyUpstream "UH" "no host of the cluster can take requests.",
    UpstreamTimeout "UT" "no answer in time.",
    UpstreamReset "UR" "the other side reset the stream.",
    ConnectionFailure "UF" "no connection came about.",
    ConnectionTermination "UC" "the connection ended before the answer.",
    Overflow "UO" "a circuit breaker.",
    NoRoute "NR" "no virtual host, or none of its routes, fits.",
    DelayInjected "DI" "a delay on purpose.",
    FaultInjected "FI" "an error on purpose.",
    RetriesExhausted "URX" "no tries were left.",
    LocalReset "LR" "the proxy itself reset the stream.",
    UpstreamProtocolError "UPE" "the other side broke HTTP.",
    NoCluster "NC" "the route leads to a service, port or subset that does not exist.",
}

/// Flags in the order in which they were raised, as Envoy writes them: `URX,UF`; `-` where there is none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Four bits each, the first lowest: its number and one.
    raised: u64,
}

const BITS: u32 = 4;

impl Flags {
    /// None.
    pub const NONE: Self = Self { raised: 0 };

    /// One.
    pub const fn of(flag: Flag) -> Self {
        Self { raised: flag as u64 + 1 }
    }

    /// Raises a flag, unless it is raised already.
    pub fn raise(&mut self, flag: Flag) {
        if !self.contains(flag) {
            let used = u64::BITS - self.raised.leading_zeros();
            self.raised |= (flag as u64 + 1) << used.next_multiple_of(BITS);
        }
    }

    /// Raises all of `others`, in their order.
    pub fn raise_all(&mut self, others: Self) {
        for flag in others.iter() {
            self.raise(flag);
        }
    }

    /// Whether `flag` is raised.
    pub fn contains(self, flag: Flag) -> bool {
        self.iter().any(|raised| raised == flag)
    }

    fn iter(self) -> impl Iterator<Item = Flag> {
        let numbers = (0..u64::BITS / BITS).map(move |at| self.raised >> (at * BITS) & 0xf);
        numbers.filter_map(|number| Some(ALL[usize::try_from(number.checked_sub(1)?).ok()?].0))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.iter().map(|flag| ALL[flag as usize].1);
        f.write_str(names.next().unwrap_or("-"))?;
        names.try_for_each(|name| write!(f, ",{name}"))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_in_the_order_in_which_they_were_raised() {
        assert_eq!(Flags::NONE.to_string(), "-");
        let mut flags = Flags::of(Flag::RetriesExhausted);
        flags.raise(Flag::ConnectionFailure);
        flags.raise(Flag::RetriesExhausted);
        assert_eq!(flags.to_string(), "URX,UF");
        let mut flags = Flags::of(Flag::NoHealthyUpstream);
        flags.raise_all(Flags::of(Flag::NoCluster));
        assert_eq!(flags.to_string(), "UH,NC");
    }

    #[test]
    fn there_is_room_for_all_of_them() {
        let mut flags = Flags::NONE;
        for (flag, _) in ALL {
            flags.raise(*flag);
        }
        assert_eq!(flags.to_string(), ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(","));
    }
}
