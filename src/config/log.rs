use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// The format of log lines.
    #[serde(default)]
    pub format: LogFormat,
    /// The least level that is logged, or directives for single modules.
    #[serde(default = "level")]
    pub level: String,
}

/// `log.format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// A JSON object in each line.
    Json,
}

fn level() -> String {
    "info".into()
}

impl LogSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let filter = EnvFilter::try_new(&self.level);
        filter.map_err(|error| format!("log.level: {error}"))?;
        Ok(())
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: level(),
        }
    }
}
