//! Enums whose variants have a word each, the same on the command line, in `run.json` and in the CSV.

/// Gives an enum its list of variants, and reads and writes them by their words.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            /// All variants, in the order in which help and messages list them.
            pub const ALL: [$type; [$($word),*].len()] = [$($type::$variant),*];

            /// The variant's word.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $word),*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<$type, String> {
                let known = $type::ALL.into_iter().find(|known| known.name() == text);
                known.ok_or_else(|| format!("`{text}` is none of {}", [$($word),*].join(", ")))
            }
        }
    };
}
pub(crate) use words;
