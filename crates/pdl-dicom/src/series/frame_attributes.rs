//! The attributes by which frames of one series can belong to several volumes.

use std::cmp::Ordering;
use std::sync::Arc;

use dicom_dictionary_std::tags;

use crate::file::functional_groups::Groups;
use crate::file::private_attributes::{Private, Stored};
use crate::file::{items, text};

/// b-values of Siemens, of GE (with others; 10^9 is added by some versions) and of Philips.
const B_VALUES: [Private; 3] = [
    Private {
        group: 0x0019,
        creator: "SIEMENS MR HEADER",
        maker: "SIEMENS",
        element: 0x0c,
        stored: Stored::Text,
    },
    Private { group: 0x0043, creator: "GEMS_PARM_01", maker: "GE", element: 0x39, stored: Stored::Text },
    Private {
        group: 0x2001,
        creator: "Philips Imaging DD 001",
        maker: "PHILIPS",
        element: 0x03,
        stored: Stored::Float32,
    },
];
/// Magnitude, phase, real and imaginary part of GE (0 to 3) and of Philips (M, P, R, I), whose
/// ImageType may not tell them.
const COMPONENTS: [Private; 2] = [
    Private { group: 0x0043, creator: "GEMS_PARM_01", maker: "GE", element: 0x2f, stored: Stored::Int16 },
    Private {
        group: 0x2005,
        creator: "Philips MR Imaging DD 001",
        maker: "PHILIPS",
        element: 0x11,
        stored: Stored::Text,
    },
];

/// Attributes that may distinguish the volumes of a series, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    ComplexComponent,
    BValue,
    Stack,
    FrameType,
    EchoTime,
    EchoNumber,
    InversionTime,
    Kernel,
    TemporalPositionIndex,
    TemporalPosition,
    CardiacPhase,
    RespiratoryPhase,
    TriggerDelay,
    GradientDirection,
    AcquisitionNumber,
    TriggerTime,
    FrameReferenceTime,
    ImageType,
    FlipAngle,
    TubeVoltage,
    ContrastAgent,
    SeriesDescription,
    ImageComments,
    SequenceName,
    SliceThickness,
    RepetitionTime,
    Dimension1,
    Dimension2,
    Dimension3,
    Dimension4,
    AcquisitionTime,
}

/// How an attribute's text compares.
enum Kind {
    /// As decimal numbers, to six significant digits: archives write 4.2 as 4.200000 or
    /// 4.19999980926514.
    Decimal,
    /// As a number, exactly, or else as text.
    Whole,
    /// In seconds, if it is a time (HHMMSS.F) or a date and time (YYYYMMDDHHMMSS.F).
    Time,
    Text,
}

impl Attribute {
    pub(crate) const ALL: &[Self] = &[
        Self::ComplexComponent,
        Self::BValue,
        Self::Stack,
        Self::FrameType,
        Self::EchoTime,
        Self::EchoNumber,
        Self::InversionTime,
        Self::Kernel,
        Self::TemporalPositionIndex,
        Self::TemporalPosition,
        Self::CardiacPhase,
        Self::RespiratoryPhase,
        Self::TriggerDelay,
        Self::GradientDirection,
        Self::AcquisitionNumber,
        Self::TriggerTime,
        Self::FrameReferenceTime,
        Self::ImageType,
        Self::FlipAngle,
        Self::TubeVoltage,
        Self::ContrastAgent,
        Self::SeriesDescription,
        Self::ImageComments,
        Self::SequenceName,
        Self::SliceThickness,
        Self::RepetitionTime,
        Self::Dimension1,
        Self::Dimension2,
        Self::Dimension3,
        Self::Dimension4,
        Self::AcquisitionTime,
    ];

    /// Attributes that never vary within a volume, whatever the positions.
    pub(crate) const NEVER_MIXED: &[Self] = Self::ALL.split_at(3).0;

    /// Attributes that do not vary within a volume, unless that leaves slices that are no volumes.
    pub(crate) const OF_CONTENT: &[Self] = Self::ALL.split_at(8).0;

    /// Times and phases that grow from volume to volume at each position, in the order in which
    /// they are preferred.
    pub(crate) const GROWING: [Self; 6] = [
        Self::CardiacPhase,
        Self::RespiratoryPhase,
        Self::TriggerDelay,
        Self::TriggerTime,
        Self::FrameReferenceTime,
        Self::AcquisitionTime,
    ];

    /// Name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FrameType => "frame type",
            Self::ComplexComponent => "complex component",
            Self::EchoTime => "echo time",
            Self::EchoNumber => "echo number",
            Self::InversionTime => "inversion time",
            Self::BValue => "b-value",
            Self::Stack => "stack",
            Self::Kernel => "convolution kernel",
            Self::TemporalPositionIndex | Self::TemporalPosition => "temporal position",
            Self::CardiacPhase => "cardiac phase",
            Self::RespiratoryPhase => "respiratory phase",
            Self::TriggerDelay => "trigger delay",
            Self::GradientDirection => "diffusion direction",
            Self::AcquisitionNumber => "acquisition number",
            Self::TriggerTime => "trigger time",
            Self::FrameReferenceTime => "frame reference time",
            Self::ImageType => "image type",
            Self::FlipAngle => "flip angle",
            Self::TubeVoltage => "tube voltage",
            Self::ContrastAgent => "contrast agent",
            Self::SeriesDescription => "series description",
            Self::ImageComments => "image comments",
            Self::SequenceName => "sequence name",
            Self::SliceThickness => "slice thickness",
            Self::RepetitionTime => "repetition time",
            Self::Dimension1 | Self::Dimension2 | Self::Dimension3 | Self::Dimension4 => "dimension index",
            Self::AcquisitionTime => "acquisition time",
        }
    }

    /// How strongly it speaks for several volumes when its values alternate from slice to slice of
    /// one even stack.
    pub(crate) fn weight(self) -> i32 {
        match self {
            Self::TemporalPositionIndex
            | Self::TemporalPosition
            | Self::CardiacPhase
            | Self::RespiratoryPhase
            | Self::GradientDirection => 6,
            Self::TriggerDelay => 3,
            Self::AcquisitionNumber
            | Self::TriggerTime
            | Self::FrameReferenceTime
            | Self::FlipAngle
            | Self::TubeVoltage
            | Self::ContrastAgent
            | Self::SeriesDescription
            | Self::SliceThickness => 2,
            Self::SequenceName => 1,
            _ if Self::OF_CONTENT.contains(&self) => 6,
            _ => 0,
        }
    }

    /// Whether it may have another value at each slice of one volume.
    pub(crate) fn may_count_slices(self) -> bool {
        matches!(
            self,
            Self::AcquisitionNumber
                | Self::AcquisitionTime
                | Self::ImageComments
                | Self::Dimension1
                | Self::Dimension2
                | Self::Dimension3
                | Self::Dimension4
        )
    }

    fn kind(self) -> Kind {
        match self {
            Self::FrameType
            | Self::ComplexComponent
            | Self::Stack
            | Self::Kernel
            | Self::ImageType
            | Self::ContrastAgent
            | Self::SeriesDescription
            | Self::ImageComments
            | Self::SequenceName => Kind::Text,
            Self::EchoNumber
            | Self::TemporalPositionIndex
            | Self::TemporalPosition
            | Self::AcquisitionNumber
            | Self::Dimension1
            | Self::Dimension2
            | Self::Dimension3
            | Self::Dimension4 => Kind::Whole,
            Self::AcquisitionTime => Kind::Time,
            _ => Kind::Decimal,
        }
    }

    fn read(self, groups: &Groups<'_>) -> Option<String> {
        let of_object = |tag| Some(text(groups.object, tag)).filter(|text| !text.is_empty());
        let content = |tag| groups.text(tags::FRAME_CONTENT_SEQUENCE, tag);
        let cardiac = |tag| groups.text(tags::CARDIAC_SYNCHRONIZATION_SEQUENCE, tag);
        let respiratory = |tag| groups.text(tags::RESPIRATORY_SYNCHRONIZATION_SEQUENCE, tag);
        match self {
            Self::ImageType => image_type(groups, ImageTypePart::Origin),
            Self::FrameType => image_type(groups, ImageTypePart::Rest),
            Self::ComplexComponent => groups
                .text(tags::MR_IMAGE_FRAME_TYPE_SEQUENCE, tags::COMPLEX_IMAGE_COMPONENT)
                .into_iter()
                .chain(image_type(groups, ImageTypePart::Component))
                .chain(private_component(groups))
                .reduce(|component, of_type| component + "\\" + &of_type),
            Self::EchoTime => groups
                .text(tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME)
                .or_else(|| of_object(tags::ECHO_TIME)),
            Self::EchoNumber => of_object(tags::ECHO_NUMBERS),
            Self::InversionTime => {
                let of_frame = groups.text(tags::MR_MODIFIER_SEQUENCE, tags::INVERSION_TIMES);
                of_frame.or_else(|| of_object(tags::INVERSION_TIME))
            }
            Self::BValue => groups
                .text(tags::MR_DIFFUSION_SEQUENCE, tags::DIFFUSION_B_VALUE)
                .or_else(|| private_b_value(groups)),
            Self::Stack => content(tags::STACK_ID),
            Self::Kernel => groups.text(tags::CT_RECONSTRUCTION_SEQUENCE, tags::CONVOLUTION_KERNEL),
            Self::TemporalPositionIndex => content(tags::TEMPORAL_POSITION_INDEX),
            Self::TemporalPosition => content(tags::TEMPORAL_POSITION_IDENTIFIER).or_else(|| {
                groups.text(tags::TEMPORAL_POSITION_SEQUENCE, tags::TEMPORAL_POSITION_TIME_OFFSET)
            }),
            Self::CardiacPhase => cardiac(tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE),
            Self::RespiratoryPhase => respiratory(tags::NOMINAL_PERCENTAGE_OF_RESPIRATORY_PHASE),
            Self::TriggerDelay => cardiac(tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME)
                .or_else(|| cardiac(tags::ACTUAL_CARDIAC_TRIGGER_DELAY_TIME))
                .or_else(|| respiratory(tags::NOMINAL_RESPIRATORY_TRIGGER_DELAY_TIME))
                .or_else(|| respiratory(tags::ACTUAL_RESPIRATORY_TRIGGER_DELAY_TIME)),
            Self::GradientDirection => gradient_direction(groups),
            Self::AcquisitionNumber => {
                content(tags::FRAME_ACQUISITION_NUMBER).or_else(|| of_object(tags::ACQUISITION_NUMBER))
            }
            Self::TriggerTime => of_object(tags::TRIGGER_TIME),
            Self::FrameReferenceTime => of_object(tags::FRAME_REFERENCE_TIME),
            Self::FlipAngle => groups.text(tags::MR_TIMING_AND_RELATED_PARAMETERS_SEQUENCE, tags::FLIP_ANGLE),
            Self::TubeVoltage => of_object(tags::KVP),
            Self::ContrastAgent => of_object(tags::CONTRAST_BOLUS_AGENT),
            Self::SeriesDescription => of_object(tags::SERIES_DESCRIPTION),
            Self::ImageComments => of_object(tags::IMAGE_COMMENTS),
            Self::SequenceName => of_object(tags::SEQUENCE_NAME),
            Self::SliceThickness => groups.text(tags::PIXEL_MEASURES_SEQUENCE, tags::SLICE_THICKNESS),
            Self::RepetitionTime => of_object(tags::REPETITION_TIME),
            Self::Dimension1 => dimension(groups, 0),
            Self::Dimension2 => dimension(groups, 1),
            Self::Dimension3 => dimension(groups, 2),
            Self::Dimension4 => dimension(groups, 3),
            Self::AcquisitionTime => content(tags::FRAME_ACQUISITION_DATE_TIME)
                .or_else(|| content(tags::FRAME_REFERENCE_DATE_TIME))
                .or_else(|| of_object(tags::ACQUISITION_DATE_TIME))
                .or_else(|| {
                    let time = of_object(tags::ACQUISITION_TIME)?;
                    Some(of_object(tags::ACQUISITION_DATE).unwrap_or_default() + &time)
                }),
        }
    }
}

/// Some of the values of an image's type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ImageTypePart {
    /// Origin, which may differ from slice to slice of one volume: for CT and PET the first three
    /// values; further ones (such as GE's "ADD") do not distinguish volumes.
    Origin,
    /// Third value of ImageType of MR: magnitude, phase, field map.
    Component,
    /// Further values of ImageType of MR.
    Rest,
}

fn image_type(groups: &Groups<'_>, part: ImageTypePart) -> Option<String> {
    let of_mr = text(groups.object, tags::MODALITY) == "MR";
    if !of_mr && part != ImageTypePart::Origin {
        return None;
    }
    let of_frame = [
        tags::MR_IMAGE_FRAME_TYPE_SEQUENCE,
        tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
        tags::PET_FRAME_TYPE_SEQUENCE,
    ]
    .into_iter()
    .find_map(|group| groups.text(group, tags::FRAME_TYPE));
    let whole = of_frame.unwrap_or_else(|| text(groups.object, tags::IMAGE_TYPE));
    let values = whole.split('\\').map(str::trim);
    let values: Vec<&str> = match part {
        ImageTypePart::Origin => values.take(if of_mr { 2 } else { 3 }).collect(),
        ImageTypePart::Component => values.skip(2).take(1).collect(),
        ImageTypePart::Rest => values.skip(3).collect(),
    };
    Some(values.join("\\")).filter(|text| !text.is_empty())
}

fn is_mr(groups: &Groups<'_>) -> bool {
    text(groups.object, tags::MODALITY) == "MR"
}

fn private_b_value(groups: &Groups<'_>) -> Option<String> {
    let value = B_VALUES.iter().filter(|_| is_mr(groups)).find_map(|private| private.read(groups.object))?;
    let first = value.split('\\').next().unwrap_or_default().trim();
    first.parse::<f64>().is_ok().then(|| first.to_owned())
}

fn private_component(groups: &Groups<'_>) -> Option<String> {
    let own = COMPONENTS.iter().filter(|_| is_mr(groups)).find_map(|private| private.read(groups.object));
    own.filter(|component| !component.is_empty())
}

fn gradient_direction(groups: &Groups<'_>) -> Option<String> {
    let of_sequence = groups.find(tags::MR_DIFFUSION_SEQUENCE, |diffusion| {
        let direction = items(diffusion, tags::DIFFUSION_GRADIENT_DIRECTION_SEQUENCE).first()?;
        Some(text(direction, tags::DIFFUSION_GRADIENT_ORIENTATION))
    });
    let direction = of_sequence.unwrap_or_else(|| text(groups.object, tags::DIFFUSION_GRADIENT_ORIENTATION));
    Some(direction).filter(|text| !text.is_empty())
}

fn dimension(groups: &Groups<'_>, number: usize) -> Option<String> {
    let values = groups.text(tags::FRAME_CONTENT_SEQUENCE, tags::DIMENSION_INDEX_VALUES)?;
    values.split('\\').nth(number).map(str::to_owned)
}

/// The attributes of a frame, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameAttributes(Arc<[Option<String>]>);

impl FrameAttributes {
    pub(crate) fn read(groups: &Groups<'_>) -> Self {
        Self(Attribute::ALL.iter().map(|attribute| attribute.read(groups)).collect())
    }

    /// An attribute as it is written.
    pub(crate) fn written(&self, attribute: Attribute) -> Option<&str> {
        self.0.get(attribute as usize).and_then(Option::as_deref)
    }

    /// An attribute's value, by which it compares.
    pub(crate) fn value(&self, attribute: Attribute) -> Value {
        let Some(written) = self.written(attribute) else { return Value::Absent };
        let numbers = |number: fn(&str) -> Option<f64>| {
            let parts = written.split('\\').map(|part| number(part).filter(|number| number.is_finite()));
            parts.map(|part| part.map(Number)).collect::<Option<Vec<_>>>()
        };
        let numbers = match attribute.kind() {
            Kind::Decimal => numbers(rounded),
            Kind::Whole => numbers(exact),
            Kind::Time => numbers(seconds),
            Kind::Text => None,
        };
        numbers.map_or_else(|| Value::Text(written.to_owned()), Value::Numbers)
    }

    /// An attribute's only number.
    pub(crate) fn number(&self, attribute: Attribute) -> Option<f64> {
        match self.value(attribute) {
            Value::Numbers(numbers) if numbers.len() == 1 => numbers.first().map(|number| number.0),
            _ => None,
        }
    }
}

/// The value of an attribute; numbers sort numerically.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Absent,
    Numbers(Vec<Number>),
    Text(String),
}

/// A finite number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

fn exact(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().map(|number| number + 0.0) // + 0.0: never -0
}

fn rounded(text: &str) -> Option<f64> {
    format!("{:.5e}", exact(text)?).parse().ok()
}

/// Seconds of a time of day, or of a date and a time; only differences are meaningful.
fn seconds(text: &str) -> Option<f64> {
    let text: String = text.trim().chars().filter(|c| *c != ':').collect();
    let whole =
        text.split(['.', '+', '-']).next().filter(|whole| whole.bytes().all(|b| b.is_ascii_digit()))?;
    let (date, time) = whole.split_at(if whole.len() > 6 { 8.min(whole.len()) } else { 0 });
    let part = |text: &str, at: usize, length: usize| match text.get(at..at + length) {
        Some(digits) => digits.parse::<f64>().ok(),
        None => Some(0.0),
    };
    let days = part(date, 0, 4)? * 372.0 + part(date, 4, 2)? * 31.0 + part(date, 6, 2)?;
    let fraction: f64 = match text.get(whole.len()..)?.strip_prefix('.') {
        Some(after) => {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            format!("0.{digits}").parse().ok()?
        }
        None => 0.0,
    };
    let of_day = part(time, 0, 2)? * 3600.0 + part(time, 2, 2)? * 60.0 + part(time, 4, 2)?;
    Some(days * 86400.0 + of_day + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(attribute: Attribute, text: &str) -> Value {
        let values = Attribute::ALL.iter().map(|own| (*own == attribute).then(|| text.to_owned()));
        FrameAttributes(values.collect()).value(attribute)
    }

    #[test]
    fn attributes_stand_in_the_order_of_their_numbers() {
        assert!(Attribute::ALL.iter().enumerate().all(|(number, attribute)| *attribute as usize == number));
        assert_eq!(Attribute::OF_CONTENT.last(), Some(&Attribute::Kernel));
    }

    #[test]
    fn numbers_compare_as_numbers_and_times_as_seconds() {
        let same = |attribute, a, b| value(attribute, a) == value(attribute, b);
        assert!(same(Attribute::EchoTime, "4.2", "4.200000"));
        assert!(same(Attribute::EchoTime, "4.2", "4.19999980926514"));
        assert!(same(Attribute::AcquisitionNumber, "01", "1"));
        assert!(!same(Attribute::EchoTime, "4.2", "4.21"));
        assert!(!same(Attribute::AcquisitionNumber, "1000001", "1000002"));
        assert!(same(Attribute::AcquisitionTime, "101510", "101510.000"));
        assert!(!same(Attribute::AcquisitionTime, "101510", "101510.001"));
        assert!(same(Attribute::AcquisitionTime, "20240102101510", "20240102101510.0"));
        assert!(value(Attribute::AcquisitionTime, "095959.5") < value(Attribute::AcquisitionTime, "100000"));
        assert!(value(Attribute::TriggerTime, "9") < value(Attribute::TriggerTime, "10.5"));
        assert!(matches!(value(Attribute::AcquisitionTime, "noon"), Value::Text(_)));
    }
}
