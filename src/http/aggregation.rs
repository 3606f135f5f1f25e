//! The aggregations on the wire: the same names in both versions, each in its own case.

/// Declares `MeterAggregation` with its names in the case given.
macro_rules! meter_aggregation {
    ($case:tt) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = $case)]
        pub enum MeterAggregation {
            Sum,
            Count,
            UniqueCount,
            Avg,
            Min,
            Max,
            Latest,
        }

        impl From<crate::domain::metering::Aggregation> for MeterAggregation {
            fn from(aggregation: crate::domain::metering::Aggregation) -> Self {
                use crate::domain::metering::Aggregation::*;
                match aggregation {
                    Sum => Self::Sum,
                    Count => Self::Count,
                    UniqueCount => Self::UniqueCount,
                    Avg => Self::Avg,
                    Min => Self::Min,
                    Max => Self::Max,
                    Latest => Self::Latest,
                }
            }
        }

        impl From<MeterAggregation> for crate::domain::metering::Aggregation {
            fn from(aggregation: MeterAggregation) -> Self {
                match aggregation {
                    MeterAggregation::Sum => Self::Sum,
                    MeterAggregation::Count => Self::Count,
                    MeterAggregation::UniqueCount => Self::UniqueCount,
                    MeterAggregation::Avg => Self::Avg,
                    MeterAggregation::Min => Self::Min,
                    MeterAggregation::Max => Self::Max,
                    MeterAggregation::Latest => Self::Latest,
                }
            }
        }
    };
}

pub(crate) use meter_aggregation;
