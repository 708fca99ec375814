//! Invented conversations, for a replay without a recording: the same seed gives the same ones.

use jiff::Timestamp;
use uuid::Builder;

use super::archive::Random;
use super::input::Recorded;

/// Days that they last.
pub const DAYS: u32 = 60;
/// Monday, 2024-01-01, 00:00 UTC.
const FIRST_DAY: i64 = 1_704_067_200;
const DAY_SECONDS: u64 = 86_400;
/// Of a hundred rooms that spoke on a day, so many speak on the next.
const SPEAK_AGAIN: u64 = 60;

const OPENERS: [&str; 10] = [
    "Good morning!",
    "Hey 👋",
    "Are you there?",
    "Quick question:",
    "By the way,",
    "Sorry, I was out.",
    "Grüß dich!",
    "Guess what:",
    "One more thing:",
    "Okay,",
];
const SUBJECTS: [&str; 12] = [
    "the train",
    "our landlord",
    "my sister",
    "the meeting on Thursday",
    "that café by the river",
    "the new bike",
    "your package",
    "the football match",
    "dinner tonight",
    "the results from the doctor",
    "my old phone",
    "Zoë",
];
const VERBS: [&str; 10] = [
    "is late again",
    "was better than I thought",
    "has to wait until tomorrow",
    "did not work out",
    "costs far too much",
    "made me laugh",
    "is at eight",
    "is still not here",
    "looks good to me",
    "was cancelled",
];
const ENDINGS: [&str; 10] = [
    "What do you think?",
    "I will call you later.",
    "Can you bring the keys?",
    "No rush.",
    "😂",
    "See you there.",
    "Please do not tell anybody yet.",
    "Same as last week.",
    "Let me know.",
    "I am on my way.",
];
const SHORT: [&str; 10] = [
    "Yes",
    "No way!",
    "ok",
    "haha",
    "👍",
    "Sure",
    "Why?",
    "On my way",
    "Thanks a lot",
    "Where are you?",
];

/// A room and who is in it.
struct Room {
    id: String,
    members: Vec<String>,
}

/// All messages of a seed, in order of time: about a thousand a day, fewer at weekends and at night. A room speaks
/// in bursts, for a day or for some.
#[must_use]
pub fn messages(seed: u64) -> Vec<Recorded> {
    let random = &mut Random::new(seed);
    let (mut rooms, mut messages) = (Vec::new(), Vec::new());
    for day in 0..DAYS {
        rooms.retain(|_| random.below(100) < SPEAK_AGAIN);
        let weekend = day % 7 >= 5;
        let new = if weekend { 6 } else { 12 } + random.below(6);
        rooms.extend((0..new).map(|_| room(random)));
        for room in &rooms {
            burst(day, room, random, &mut messages);
        }
    }
    messages.sort_by_key(|message| message.sent_at);
    messages
}

fn room(random: &mut Random) -> Room {
    // Two talk mostly, sometimes a group.
    let members = match random.below(5) {
        0 => 3 + random.below(6),
        _ => 2,
    };
    Room {
        id: name(random),
        members: (0..members).map(|_| name(random)).collect(),
    }
}

/// The messages of a room that follow each other: a few seconds to minutes between them.
fn burst(day: u32, room: &Room, random: &mut Random, messages: &mut Vec<Recorded>) {
    // Four dice give a bell: most begin in the afternoon.
    let hour_dice: u64 = (0..4).map(|_| random.below(DAY_SECONDS / 4)).sum();
    let start = u64::from(day) * DAY_SECONDS + (hour_dice + DAY_SECONDS / 8).min(DAY_SECONDS - 1);
    let mut second = FIRST_DAY + start as i64;
    for _ in 0..5 + random.below(50) {
        let Ok(sent_at) = Timestamp::from_second(second) else {
            return;
        };
        messages.push(Recorded {
            sent_at,
            conversation: room.id.clone(),
            sender: one_of(&room.members, random).clone(),
            text: text(random),
        });
        second += 3 + random.below(20) as i64 * random.below(20) as i64;
    }
}

/// Mostly a sentence, often a word, sometimes a whole story.
fn text(random: &mut Random) -> String {
    let sentences = match random.below(10) {
        0..3 => return (*one_of(&SHORT, random)).to_owned(),
        3..8 => 1,
        8 => 2,
        _ => 3 + random.below(5),
    };
    let mut parts = Vec::new();
    for _ in 0..sentences {
        if random.below(3) == 0 {
            parts.push((*one_of(&OPENERS, random)).to_owned());
        }
        parts.push(format!(
            "{} {}.",
            one_of(&SUBJECTS, random),
            one_of(&VERBS, random)
        ));
        if random.below(2) == 0 {
            parts.push((*one_of(&ENDINGS, random)).to_owned());
        }
    }
    parts.join(" ")
}

fn one_of<'a, T>(all: &'a [T], random: &mut Random) -> &'a T {
    &all[random.below(all.len() as u64) as usize]
}

fn name(random: &mut Random) -> String {
    let bits = (u128::from(random.next()) << 64) | u128::from(random.next());
    Builder::from_random_bytes(bits.to_be_bytes())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_conversations_always() {
        assert_eq!(messages(1), messages(1));
        assert_ne!(messages(1), messages(2));
        let first = &messages(1)[0];
        assert!(
            first.sent_at.to_string().starts_with("2024-01-01T"),
            "{first:?}"
        );
    }

    #[test]
    fn they_are_like_real_ones() {
        let messages = messages(1);
        assert!(messages.is_sorted_by_key(|message| message.sent_at));
        let day = |message: &Recorded| message.sent_at.to_string()[..10].to_owned();
        let days: BTreeSet<_> = messages.iter().map(day).collect();
        assert!(days.len() >= DAYS as usize);
        let each_day = messages.len() / DAYS as usize;
        assert!((500..2_000).contains(&each_day), "{each_day} a day");
        let mut lengths: Vec<_> = messages.iter().map(|message| message.text.len()).collect();
        lengths.sort_unstable();
        let (half, longest) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
        assert!(
            (20..80).contains(&half) && (300..2_000).contains(&longest),
            "{half} {longest}"
        );
        let rooms: BTreeSet<_> = messages
            .iter()
            .map(|message| &message.conversation)
            .collect();
        assert!(rooms.len() > 500, "{}", rooms.len());
    }
}
