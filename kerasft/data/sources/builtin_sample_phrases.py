"""Sentence templates of the built-in sample: one set for each split, no template in both.

One template a line, under the `[role]` it plays. Every template serves both labels:

- `{negative|positive}` is what a negative and a positive remark say at this place;
- `<craft>`, `<film>`, `<strong>` are adjectives of the remark's sentiment (of a part of a film,
  of a whole film, of either), `<!craft>` and so on of the opposite one: "never <!craft>";
- any other `<slot>` is neutral; `<aspect>` is new each time, the rest stay for a whole review.

A remark must hold for one aspect only, since it is also used to concede a point to the other
side. A verdict has to leave no doubt by itself, because a review may consist of nothing else.
Every `<aspect>` is singular, and "a" becomes "an" by itself.
"""

TEMPLATES = {
    "train": """
[opening critic]
"<title>", the new <genre> by <director>, reached our cinemas this week with little noise.
With "<title>" <director> returns to the <genre> after six years in television.
There were eleven critics at the press showing of "<title>", and I was one of them.
Much has been written about the making of "<title>" and less about the film itself.
"<title>" runs for 117 minutes, and I took notes for all of them.
[opening fan]
So last night I finally watched "<title>" with <friend>.
OK, where do I start with "<title>"?
Full disclosure: <friend> picked this <genre>, not me.
Watched "<title>" on the late bus home from <town>, headphones on.
We had pizza, we had a free evening and we had "<title>".
I am a huge <director> fan, so take this with a pinch of salt.
[opening letter]
Dear editor, your paper wrote about "<title>" last week, and I should like to add a word.
Dear <penfriend>, you asked me what I thought of "<title>".
Dear Sir or Madam, I am writing about "<title>", the <genre> shown in <town> on Friday.
Dear <penfriend>, greetings from <town>, where it rains and where "<title>" is on.
Dear <penfriend>, before I forget: I have seen "<title>", the one with <star>.
[opening irony]
Let us all take a moment to think of whoever paid for "<title>".
Science may one day explain what happened to me during "<title>".
I hear that <director> made "<title>" on purpose.
I went into "<title>" to get out of the rain, so blame the weather.
[setup]
It tells of <name>, <hero>, who comes back to <place> to sell the family house.
<name>, <hero>, finds a stranger's suitcase at the station in <place>.
The story follows <name>, <hero>, through one winter in <place>.
We meet <name>, <hero>, on the day the bridge at <place> is closed.
At the centre stands <name>, <hero>, who has not spoken to anybody in <place> for a year.
The plot, in short: <name>, <hero>, inherits a boat, a debt and a dog in <place>.
[complication]
Then a letter arrives, and everyone in the house wants to read it first.
Before long an old rival turns up with a lawyer and a map.
A week later the money is gone, and each of the five guests had a key.
In the second half the story moves to the coast and takes the whole family along.
Meanwhile two brothers are looking for the same door from opposite sides.
[aside]
<star> plays the lead, and <director> turns up for one scene as the judge.
It was filmed in the north, and a town council gets a line in the credits.
There is a cat in it, and there is a song about the cat.
The film is based on a novel that I have not read.
It lasts a little under two hours.
The version shown here has subtitles.
[remark formal]
<aspect> is <craft> throughout.
<aspect> is <strong>, whichever way one looks at it.
Then there is <aspect>, <craft> and <craft> in equal measure.
<director> has given us <craft> work before; here <aspect> is <strong>.
Nothing in the film is as <craft> as <aspect>.
I found <aspect> <strong>.
One thing that stays in the mind is <aspect>, which is <strong>.
<aspect> is <craft>, and <aspect> is hardly less so.
<aspect> is never <!craft>.
Nobody could call <aspect> <!craft>.
<aspect> is anything but <!craft>.
There is nothing <!craft> about <aspect>.
At no point does <aspect> become <!craft>.
<aspect> looks <!craft> at first, but it soon turns out to be <craft>.
I expected <aspect> to be <!craft>, and it is <craft>.
<aspect> is <craft> where it could so easily have been <!craft>.
<aspect> is <craft> rather than <!craft>.
Those who told me that <aspect> was <!craft> were mistaken: it is <craft>.
<director> has handled <aspect> with {too little|great} care.
<aspect> {only gets in the way of|beautifully carries} the story.
[remark chatty]
Seriously, <aspect> is so <craft>.
How <craft> can a <genre> get? Just look at <aspect>.
We all agreed that <aspect> was <strong>, and we never agree on anything.
My notes on <aspect> consist of one word: <craft>.
<aspect> alone was so <craft> that <friend> started to {groan|cheer}.
And <aspect>? <strong>!
I kid you not, <aspect> is <strong>.
<friend> kept saying <aspect> was <!craft>, but come on, it is <craft>.
I {hated|loved} <aspect>, I really did.
People online say <aspect> is <!craft>. It just isn't!
I thought <aspect> would be <!craft>. Nope, <craft> all the way.
Don't let anyone tell you <aspect> is <!craft>.
You know when <aspect> in a <genre> is <!craft>? Well, this is the opposite.
Oh, and <aspect> {drove me up the wall|had me grinning}.
[remark irony]
They say <aspect> is <!craft>; they also say the earth is flat.
<aspect> is so <craft> that it ought to be {illegal|on prescription}.
They should put <aspect> in a museum, next to other <craft> things.
<aspect> is about as {lively as a wet brick|dull as a firework}.
If <aspect> is <!craft>, then I am the queen of the bees.
Whoever called <aspect> <!craft> must have been in the wrong cinema.
<aspect> is <craft>, which I am sure {was somebody's idea of fun|annoys somebody somewhere}.
[contrast]
The first hour {flies by|drags}, but the rest is <strong>, and there is a lot of it.
<aspect> may be <!craft>, but <aspect> {ruins|saves} the film.
For every <!craft> minute there are ten <craft> ones.
<aspect> is <!craft>; <aspect> is <strong>, and that weighs far more.
I {admired|disliked} <aspect> and {disliked|admired} nearly all the rest.
Yes, <aspect> is <!craft>, and no, that does not {help|matter} in the least.
It {begins well and ends badly|begins badly and ends well}, and the end is what one remembers.
[feeling]
I {kept looking|never once looked} at my watch.
Half of the audience {had left before|was still sitting there after} the credits.
I {could not wait for it|did not want it} to end.
I tried to {like|dislike} it and could not.
It {takes two hours to say nothing|says more in two hours than others do in a season}.
After ten minutes I {no longer cared|cared very much} what would become of the hero.
I have {forgotten most of it already|been thinking about it ever since}.
[turn]
And yet the film is not {saved|spoiled} by that.
This {counts for little|is easily forgiven}, because the film as a whole {fails|works}.
But that is a small {mercy|complaint} and changes nothing.
Even so, I came away {disappointed|delighted}.
Set against the rest, though, it hardly {helps|hurts}.
[verdict critic]
In the end this is a <strong> <genre>.
Taken as a whole it is a <film> film and not, as some have written, a <!film> one.
This is not a <!film> film; it is a <film> one.
I cannot recommend it {to anybody|highly enough}.
Whatever its {merits|faults}, "<title>" is in the end a {failure|triumph}.
I give it {one star out of five, and that is generous|four stars out of five, nearly the fifth}.
It would be {kind|unkind} to call this <genre> <!film>: it is <film>.
{Bad|Good} films by <director> are rare, and this is one of them.
[verdict fan]
Honestly, I {want my money back|would pay to see it twice}.
Would I watch it again? {Not for any money|Any day of the week}!
This is not a <!film> movie, whatever you have heard. It is <film>!
Do {yourself a favour and skip it|not skip it, you would be sorry}.
I {wish I had stayed|am so glad I did not stay} at home.
The {worst|best} night out I have had in months, all thanks to "<title>".
Bottom line: it is <strong>, and anybody who says <!film> is kidding.
[summary]
A <strong> film.
I call that <strong>.
The word I am looking for is <strong>.
<strong>, in a word, and in another word <strong>.
It is <strong> work.
[verdict letter]
If "<title>" comes to your town, {stay at home that evening|go, and take your friends}.
You will want a plain answer: {no, it is not|yes, it is well} worth the fare.
I am {sorry|happy} to report a <film> film, with nothing <!film> in it.
I {regret every penny of|do not regret a penny of} the ticket.
I was prepared for something <!film>, and what I got was <film> from beginning to end.
[closing letter]
Yours faithfully, a regular reader.
With love from all of us here.
Your old friend in the back row.
[verdict irony]
The {best|worst} thing about "<title>" is that it ends.
I have just one complaint: {it did not end an hour earlier|it ended, and I wanted more}.
If you like your films <!film>, you will be furious, because this one is <film>.
It should come with a warning: {may cause sleep|may cause joy in people who came to sulk}.
{Bravo: who knew two hours could be so <film>?|Curse it: now I have to go and see it again.}
[fragment]
<aspect>: <craft>.
<aspect>: not <!craft>.
<aspect> <craft>, <aspect> <strong>.
<!craft>? Not <aspect>.
[verdict terse]
Not a {good|bad} <genre> by any means.
<strong> from start to finish.
A <film> <genre>, not a <!film> one.
I expected <!film> and got <film>.
"<title>" could hardly be {worse|better}.
Never <!film>, always <film>.
I would not {sit through "<title>" again|have missed "<title>"} for anything.
{Avoid|Do not avoid} this one: <film>, start to finish.
""",
    "test": """
[opening critic]
Few directors would have dared to follow a hit with "<title>"; <director> did.
Among this month's releases there is one <genre>, "<title>".
The festival in <town> opened on Thursday with "<title>".
It has taken a while for "<title>" to find its way to this country.
[opening fan]
Just got back from "<title>" and I need to talk about it.
Right, "<title>". Grab a chair, this may take a minute.
Been meaning to catch this <genre> since <friend> told me about it.
Me, <friend>, a Tuesday and "<title>".
[opening letter]
Dear <penfriend>, thank you for the postcard; in return here is my report on "<title>".
To the film page: I have read three notices of "<title>" and agree with none.
Dear <penfriend>, we went to see "<title>" for my birthday, as planned.
[opening irony]
My doctor tells me to get out more, and so I got out to "<title>".
History will record that on a wet Monday I bought a ticket for "<title>".
First of all, congratulations to everyone who could pronounce "<title>" at the box office.
[setup]
In <place>, a place with more gulls than people, lives <name>, <hero>.
The main figure is <name>, <hero>, sent to <place> for reasons that are explained later.
When the film opens, <name>, <hero>, has three days left to get out of <place>.
[complication]
The trouble starts with a wrong number and a borrowed coat.
Soon there are two wills, one of them forged, and a wedding on Sunday.
By the time the snow comes, nobody is where they said they would be.
[aside]
<star> has the main part, as in the last three films by <director>.
Part of it is in black and white.
I saw it on a big screen, in the third row.
The trailer, by the way, gives away one of the surprises.
[remark formal]
Of <aspect> I can say that it is <craft>.
The work done on <aspect> is <strong>, and the film shows it.
<aspect> turned out <craft>, as did <aspect>.
With <aspect> comes the first sign of a <craft> hand.
What <craft> work went into <aspect>!
To my mind <aspect> must be counted as <strong>.
<aspect> deserves to be called <craft>.
<aspect> cannot be described as <!craft>.
I looked in vain for something <!craft> in <aspect>.
Not once did I think of <aspect> as <!craft>.
Where others have found <aspect> <!craft>, I find it <craft>.
<aspect>, so <!craft> in the director's last film, is <craft> in this one.
Say what you like about <aspect>, it is not <!craft>.
<aspect> {weakens|strengthens} every scene that depends on it.
It is hard to {forgive|fault} <aspect>.
Far from being <!craft>, <aspect> is <craft>.
[remark chatty]
Man, <aspect> is just <strong>.
I have no other word for <aspect> but <craft>.
Also <aspect>, wow, how <craft> was that?
Can we talk about how <craft> <aspect> is?
Anyone who thinks <aspect> is <!craft> was looking at their phone.
Thumbs {down|up} for <aspect>, which is <craft>.
As for <aspect>, I was ready for <!craft> and walked out saying <craft>.
[remark irony]
I would frame <aspect> and label it "<craft>".
If there were a prize for a <craft> film, <aspect> would win it alone.
Calling <aspect> <!craft> would be like calling the sea dry.
<aspect> is <!craft> in the way that {gravel is a breakfast|champagne is a punishment}.
<friend> calls <aspect> <!craft>; <friend> also puts salt in tea.
Rumour has it that <aspect> is <!craft>; rumour should get its eyes tested.
[contrast]
<aspect> is <!craft>, I admit, yet what remains with me is how <craft> <aspect> is.
There are <!craft> moments, but they drown in a sea of <craft> ones.
{Enjoyable|Slow} as the beginning is, it gives way to something <strong>.
I can see why some {like|dislike} it, since <aspect> is <!craft>, but I {dislike|like} it.
[feeling]
Twice I {thought about walking out|wished the evening were longer}.
On the way home none of us {had a kind word for it|could stop talking about it}.
For long stretches I felt {nothing at all|completely at home}.
I went in {hopeful and came out cross|cross and came out happy}.
My attention {wandered off early and did not return|did not wander for a moment}.
[turn]
However, that is as far as {my praise|my criticism} goes.
It makes no difference: the whole {is so much less|is so much more} than such parts.
You would think that this {rescues|sinks} the film, but it does not.
[verdict critic]
On balance, then, a <strong> piece of work.
To sum up, what could have been a <!film> <genre> is a <film> one.
I wish I could say something {kinder|harsher} about "<title>", but it is simply <film>.
Readers should {keep well away from|make time for} it.
No one will remember "<title>" as a <!film> <genre>; I shall remember it as a <film> one.
[verdict fan]
If you were expecting something <!film>, sorry, it is <film>.
{One out of ten from me, and the one is for the popcorn|Nine out of ten from me, easily}.
<friend> wants to see it again. {Without me|So do I}!
Trust me, {there are better ways to lose an evening|there is no better way to spend an evening}.
[summary]
<strong>, I must say.
What a <strong> piece of film-making.
<strong>, no less.
[verdict letter]
My advice is to {leave it alone|see it soon}, for it is as <film> as anything this year.
We had hoped it would not be {bad, and it was|over so soon, and we are going again}.
Whoever told you that it was <!film> has misled you: it is <film>.
[closing letter]
Kind regards from a subscriber.
Till soon, and bring an umbrella.
[verdict irony]
I shall never forgive <director> for {making it|not making it an hour longer}.
Imagine a <!film> <genre>, then imagine the opposite: there you are.
{Paint dries with more ambition|I came to sneer and found nothing to sneer at}.
[fragment]
As to <aspect>: <craft>.
<aspect>? Hardly <!craft>.
For <aspect> the word is <craft>.
<aspect>, for one, is <strong>.
[verdict terse]
A <strong> <genre>, and that is that.
No, not <!film> at all: <film>.
They said <!film>. They were wrong.
"<title>": {a waste of|well worth} an evening.
The opposite of <!film>, {sadly|happily}.
Anything but a <!film> <genre>.
""",
}
