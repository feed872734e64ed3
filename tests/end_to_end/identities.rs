//! People who do not exist, in ten scripts, and how what identifies them is written by others.

/// Syllables of names by script. Those of one patient's name follow from the patient's number.
const SYLLABLES: [[&str; 7]; 10] = [
    ["mül", "ber", "kow", "stra", "weß", "zén", "dor"],
    ["Παπ", "αδό", "που", "λος", "θεο", "χαρ", "ξεν"],
    ["Бел", "ков", "щук", "лев", "ёжин", "мих", "рад"],
    ["حسن", "علي", "كمال", "فريد", "منصور", "زياد", "طارق"],
    ["כהן", "לוי", "מזר", "דנה", "אביג", "שמר", "נועם"],
    ["शर्मा", "राम", "कुमार", "देवी", "सुनी", "प्रका", "विज"],
    ["สมช", "กิต", "พงษ์", "รัตน", "ชัย", "วรรณ", "ศักด"],
    ["王伟", "李娜", "张敏", "刘洋", "陈杰", "杨芳", "赵磊"],
    ["やま", "たな", "すず", "さと", "わた", "なべ", "むら"],
    ["김철", "박영", "최민", "정수", "강현", "조은", "윤서"],
];

/// Names of structures that say nothing of anybody, three for every script and some of planning.
const STRUCTURES: [&str; 40] = [
    "left lung",
    "Heart",
    "SpinalCord",
    "GTV",
    "PTV_60",
    "CTV 50.4Gy",
    "Kidney_L",
    "Parotid_R",
    "Brainstem",
    "Sternum",
    "Leber",
    "Rückenmark",
    "Niere rechts",
    "πνεύμονας",
    "ήπαρ",
    "καρδιά",
    "печень",
    "лёгкое",
    "сердце",
    "القلب",
    "الكبد",
    "الرئة",
    "כבד",
    "לב",
    "ריאה",
    "यकृत",
    "हृदय",
    "फेफड़ा",
    "ตับ",
    "ปอด",
    "หัวใจ",
    "左肺",
    "肝脏",
    "气管",
    "右肺",
    "しんぞう",
    "ひだり",
    "간",
    "심장",
    "Lunge links",
];

/// What a header says of a patient.
pub struct Person {
    pub number: usize,
    pub family: String,
    pub given: String,
    /// PatientID.
    pub id: String,
    pub born: [u32; 3],
    pub studied: [u32; 3],
    pub accession: String,
    /// Somebody whom one slice alone names.
    pub physician: String,
    /// What a private element holds.
    pub ward: String,
    /// What a comment holds.
    pub phone: String,
}

fn name(script: usize, number: usize) -> String {
    let syllables = SYLLABLES[script];
    let text: String =
        (0..3).map(|place| syllables[(number / 7_usize.pow(place) + place as usize) % 7]).collect();
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn day(number: usize, first_year: usize) -> [u32; 3] {
    [(first_year + number % 60) as u32, (1 + number % 12) as u32, (1 + number * 7 % 28) as u32]
}

/// `YYYYMMDD`.
pub fn da([year, month, day]: [u32; 3]) -> String {
    format!("{year:04}{month:02}{day:02}")
}

impl Person {
    pub fn new(number: usize) -> Self {
        let (script, turn) = (number % SYLLABLES.len(), number / SYLLABLES.len());
        Self {
            number,
            family: name(script, turn),
            given: name(script, turn + 101),
            id: format!("MRN-7{number:06}"),
            born: day(number, 1930),
            studied: day(number + 5, 1961),
            accession: format!("ACC88{number:05}"),
            physician: format!("{}^{}", name((number + 1) % 3, turn + 53), name((number + 2) % 3, turn + 29)),
            ward: format!("Ward {} bed {}", 100 + number, 3 + number % 9),
            phone: format!("0171-66{number:05}"),
        }
    }

    /// Ten structures, each with something of the person in its name, written as others write it;
    /// and the names that may be shown.
    pub fn structures(&self) -> Vec<(String, String)> {
        let Self { family, given, number, .. } = self;
        let organ = |place: usize| STRUCTURES[(number * 7 + place * 3) % STRUCTURES.len()];
        let ([year, month, day], [_, physician]) =
            (self.born, [0, 1].map(|n| self.physician.split('^').nth(n).unwrap()));
        let written = [
            format!("{{}}_{}", spelled(family, *number)),
            format!("{} {{}}", spelled(given, number + 1)),
            format!("{{}} {family} {given}").replace(' ', if number % 2 == 0 { " " } else { "_" }),
            format!("{{}} {}", self.id.replace('-', if number % 3 == 0 { "" } else { "_" })),
            format!("{{}} {day:02}.{month:02}.{year}"),
            format!("{}_{{}}", da(self.studied)),
            format!("{{}} {}", spelled(physician, number + 2)),
            format!("{{}} {}", self.accession.to_lowercase()),
            format!("{{}} {}", self.ward.to_uppercase()),
            format!("{{}} {}", self.phone.replace('-', " ")),
        ];
        let place = |(place, written): (usize, String)| {
            let organ = organ(place).replace(' ', if place == 2 && number % 2 == 1 { "_" } else { " " });
            let shown = match place {
                1 | 5 => format!("PATIENT{}{organ}", if place == 1 { ' ' } else { '_' }),
                0 => format!("{organ}_PATIENT"),
                2 if number % 2 == 1 => format!("{organ}_PATIENT"),
                _ => format!("{organ} PATIENT"),
            };
            (written.replace("{}", &organ), shown)
        };
        written.into_iter().enumerate().map(place).collect()
    }

    /// Ten structures that say nothing of the person.
    pub fn clean_structures(&self) -> Vec<String> {
        (0..10).map(|place| STRUCTURES[(self.number * 7 + place * 3) % STRUCTURES.len()].to_owned()).collect()
    }

    /// What must stand nowhere: in the spellings of the header and of the structures. Nothing here
    /// is so short, or so much of digits alone, that a hash may hold it.
    pub fn traces(&self) -> Vec<String> {
        let Self { family, given, number, .. } = self;
        let mut traces = vec![self.accession.clone(), self.accession.to_lowercase(), self.ward.clone()];
        traces.extend([self.ward.to_uppercase(), self.phone.clone(), self.phone.replace('-', " ")]);
        traces.extend(["-", "_", ""].map(|between| format!("MRN{between}7{number:06}")));
        traces.extend([self.born, self.studied].into_iter().flat_map(|[year, month, day]| {
            [format!("{day:02}.{month:02}.{year}"), format!("{year}-{month:02}-{day:02}")]
        }));
        let names = [family.as_str(), given].into_iter().chain(self.physician.split('^'));
        traces.extend(names.flat_map(|name| (0..4).map(|way| spelled(name, way))));
        traces
    }

    /// Their days as headers have them: only fit to be looked for in texts.
    pub fn days(&self) -> Vec<String> {
        [self.born, self.studied].map(da).to_vec()
    }
}

/// A name in capitals, without accents, with its umlauts written out, or as it is.
fn spelled(name: &str, way: usize) -> String {
    match way % 4 {
        0 => name.to_uppercase(),
        1 => name.replace('ü', "u").replace('é', "e").replace('ß', "ss").replace('ё', "е").replace('ό', "ο"),
        2 => name.replace('ü', "ue").replace('ß', "ss").to_lowercase(),
        _ => name.to_owned(),
    }
}
