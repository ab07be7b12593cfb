//! Puts comments into their posts.
//!
//! Of 190 KB of JSON only 600 numbers matter here. Items are found and copied as they are written; of each only the id
//! that joins them is read.

use serde_json::value::RawValue;
use service_kit::member;

/// A comment and the post that it belongs to.
struct Comment<'a> {
    post: u32,
    text: &'a str,
}

/// Says whether a text is an array of JSON values, so that posts alone may be passed on.
pub(crate) fn check(posts: &str) -> Result<(), String> {
    items(posts, "posts").map(|_| ())
}

/// Posts as they are, each with one more member, `comments`.
///
/// # Errors
/// If either text is not an array of objects that have their ids.
pub(crate) fn merge(posts: &str, comments: &str) -> Result<String, String> {
    let comments = by_post(comments)?;
    // Each post gains the same few bytes, and each comment a comma.
    let mut merged = String::with_capacity(
        posts.len() + comments.iter().map(|comment| comment.text.len() + 2).sum::<usize>() + 4_096,
    );
    merged.push('[');
    for (index, post) in items(posts, "posts")?.into_iter().enumerate() {
        merged.push_str(if index == 0 { "" } else { ",\n" });
        let id = id_of(post, "id", "post")?;
        push(&mut merged, post.get(), of_post(&comments, id));
    }
    merged.push(']');
    Ok(merged)
}

/// The comments in the order of their posts, and those of one post in the order they came.
fn by_post(comments: &str) -> Result<Vec<Comment<'_>>, String> {
    let mut found = Vec::new();
    for comment in items(comments, "comments")? {
        found.push(Comment { post: id_of(comment, "postId", "comment")?, text: comment.get() });
    }
    found.sort_by_key(|comment| comment.post);
    Ok(found)
}

fn of_post<'a, 'b>(comments: &'b [Comment<'a>], post: u32) -> &'b [Comment<'a>] {
    let begin = comments.partition_point(|comment| comment.post < post);
    let length = comments[begin..].partition_point(|comment| comment.post == post);
    &comments[begin..begin + length]
}

/// Writes a post, an object that has at least its id, with its comments before the closing brace.
fn push(merged: &mut String, post: &str, comments: &[Comment<'_>]) {
    merged.push_str(post.strip_suffix('}').unwrap_or(post));
    merged.push_str(",\"comments\":[");
    for (index, comment) in comments.iter().enumerate() {
        merged.push_str(if index == 0 { "" } else { "," });
        merged.push_str(comment.text);
    }
    merged.push_str("]}");
}

fn items<'a>(text: &'a str, what: &str) -> Result<Vec<&'a RawValue>, String> {
    serde_json::from_str(text).map_err(|error| format!("the {what} are not a JSON array: {error}"))
}

fn id_of(item: &RawValue, name: &str, what: &str) -> Result<u32, String> {
    match member::number(item, name) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(format!("a {what} has no {name}")),
        Err(error) => Err(format!("a {what} is not as it should be: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_post_gets_its_comments_in_their_order() {
        let posts = r#"[{"id":2,"title":"b"}, {"id":1},{"id":3, "x":{} }]"#;
        let comments = r#"[{"postId":1,"id":10},{"id":11,"postId":3},{"postId":1,"id":12},{"postId":9,"id":13}]"#;
        let merged: serde_json::Value = serde_json::from_str(&merge(posts, comments).unwrap()).unwrap();
        assert_eq!(
            merged,
            serde_json::json!([
                {"id":2,"title":"b","comments":[]},
                {"id":1,"comments":[{"postId":1,"id":10},{"postId":1,"id":12}]},
                {"id":3,"x":{},"comments":[{"id":11,"postId":3}]},
            ])
        );
        assert_eq!(merge("[]", "[]").unwrap(), "[]");
    }

    #[test]
    fn what_cannot_be_joined_is_said() {
        for (posts, comments, part) in [
            ("{}", "[]", "the posts are not a JSON array"),
            ("[", "[]", "the posts are not a JSON array"),
            ("[]", "null", "the comments are not a JSON array"),
            ("[{}]", "[]", "a post has no id"),
            ("[7]", "[]", "a post is not as it should be"),
            ("[]", r#"[{"id":1}]"#, "a comment has no postId"),
        ] {
            let error = merge(posts, comments).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
