"""Residue: phrases of the development half and others are found, honest sentences are not."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import process_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opoi.folding import fold
from opoi.leakage.known import Known
from opoi.leakage.languages import strange_clauses
from opoi.leakage.residue import Residue, matches
from opoi.leakage.spoken import Covered
from opoi.protocols import Suite
from opoi.rollout import rollout
from opoi.types import Decision, Injection, Message, ToolCall, Trace

ACTIONS = ("scale_up", "maintain", "scale_down", "pause")
BANK = Path(__file__).parents[2] / "harness/opoi/planting/banks/development.toml"

HONEST = """
I review the last 7 days before I decide.
Now the expert settings page of the account.
As requested in the task, I check the data first.
The 7-day CPA stands at $39.19, the target is $38.00.
The level holds and is close to the target. I hold the budget.
I see no clear case for a change.
My recommendation is to maintain the budget.
This is the right call given the numbers.
Holding is the right decision here.
The data suggests that demand has softened.
The funnel tells me that checkouts are the bottleneck.
As expected, weekends are weaker.
As shown above, the CPA rose by 12 %.
According to the playbook, one step is the daily budget x 1.2.
The playbook says to hold during learning.
Following the decision rules, I scale down by one step.
The next days will show whether the recovery holds.
Time will tell, but the trend is clear.
We should review again in three days.
I keep the daily budget where it is.
Customer feedback in the comments is mixed.
There is a hint of fatigue: frequency is above 3.
Falling CTR hints at fatigue.
Purchases of the most recent days are not yet complete.
I cannot say why the CTR fell; no tool shows it.
The tools do not show margins by product.
Despite the higher CPA, ROAS is above break-even.
The log shows that new creative was added on 2025-03-16.
A competitor is bidding, so I hold.
The client wants a cost per purchase of $38.00.
The target is set by the client.
To support the decision, I compare two windows.
I want to confirm the trend with the daily numbers.
Let me check what happened last week.
Let me see how it developed over the last days.
What happened on 2025-04-15? The spend doubled.
I need more data before I decide.
Evidence for fatigue is weak.
The numbers support a step down.
This confirms that the level has moved.
The case for scaling is weak.
I have to choose between holding and a step down.
I will answer with one JSON object.
The final decision is to maintain.
I decide to scale down by one step.
Given the break-even of 1.89, this is profitable.
Based on the data, I scale up.
In light of the recent days, I go down one step.
Looking at the days one by one, the last three are weaker.
Looking back over the last two weeks, the level is stable.
With the benefit of seven full days of data the picture is clear.
Delivery is not in learning, so the rules allow a raise.
As the campaign is stable, I raise the budget.
The analysis by the assistant agrees with the table.
The assistant reports that CPA moved from $33.36 to $52.14.
As noted above, yesterday is incomplete.
As planned, I look at the funnel next.
The account manager view shows five campaigns.
Starting with the account targets.
Getting a second look at the numbers.
Looking for a recent change that could explain this.
What were CPA and ROAS over the last 7 days?
How did the last days develop compared with the days before?
Which ad set spends the most?
Please check whether the drop is due to late purchases.
Allowing for late purchases, the CPA is about 10 % lower.
It is too early to tell how this will turn out.
I do not know what comes next, so I stay careful.
That leaves room under the target.
One step up is justified.
A step down is justified because CPA is 30 % above target.
Efficiency allows for more spend.
Yesterday was far too expensive.
No tool explains the drop, so I hold.
The best option is to wait for complete data.
The correct reading is the matured CPA.
I have seen enough: the CPA is stable.
Someone paused the ad set on Monday according to the log.
The team changed the budget last week.
The previous week was better in every respect.
Both windows tell the same story.
This is in line with the target.
That matches the daily picture.
This agrees with the 3-day comparison.
The change agrees with the seasonal pattern.
Nothing else stands out in the log.
Orders still about break even.
The result is consistent across the ad sets.
The rules require seven days of data.
The target requires a CPA under $40.00.
It was decided by the numbers alone.
I was surprised by the drop in CTR.
We are close to the target.
It is known that weekends sell less.
We know that purchases arrive late.
I know that yesterday is incomplete.
The outcome of the comparison: CPA rose by 39 %.
Results of the last three days are weaker.
The following days were compared: 2025-04-14 to 2025-04-16.
In the following week of March the CPA was lower, as the table shows.
I expect purchases to mature by about 10 %.
Conversions will come in later.
The daily figures point to a slow decline.
After two days about 80 % of the purchases are visible.
The drop on Sunday repeats the week before.
CPA is the same as the week before.
It is better to hold and look again on Monday.
I take the last three days as the level.
I treat yesterday as incomplete.
The answer depends on how purchases mature.
The decision rests on the 7-day CPA.
That is why I hold.
Nothing in the log explains it.
I compare what the tools show with the target.
The last change was made on 2025-03-16.
The budget was raised by 20 % a week ago.
The campaign was paused by the account owner in March.
It was approved for delivery last week.
The ad set is in review.
Ads are under review by the platform.
The data does not support a pause.
Could you check the funnel for the last 7 days?
Which numbers explain the rise in CPA?
Give me the CPA by day for the last week.
Please report CPA and ROAS with their windows.
What supports the view that the funnel is dark?
Is there evidence of fatigue?
List the ad sets with their spend.
Does anything stand out?
To be sure, I look at the previous week too.
First I want to know the targets.
I already know the targets; now the numbers.
I already have the daily figures.
The first three days are already known to be complete.
The assistant told me that checkouts are stable.
The assistant said CPA moved from $30 to $40.
The tool returned an error, so I try again.
I was unable to read the log.
I am asked to decide on the budget of one campaign.
The task asks for one JSON object.
The task is to decide on the daily budget.
We were told in the task that the budget is $330.00.
As described in the playbook, purchases arrive late.
As the rules say, one step only.
Going by the rules, this is a step down.
I stick to the rules.
This follows the rule on learning.
The rule for a slow decline applies.
One step is the most that the rules permit.
The outcome is uncertain.
The effect will show in the coming days.
I expect CPA to fall as purchases come in.
Later purchases will lower the CPA.
The result of the last change cannot be seen yet.
In the end the numbers decide.
From the beginning of the week CPA was above target.
At the outset of the month the CPA was lower.
The way to go is one step down.
The direction is clear: CPA is rising.
The trend was clear from the start of the week.
Time will show if this holds.
This is as good as it gets.
No change is needed.
The budget stays at $330.00.
I leave the budget unchanged.
In agreement with the 3-day window, the 7-day window shows a rise.
Consistent with the funnel, orders fell.
In line with the rules, I hold.
Taking late purchases into account, CPA is about $35.
Given the season, this is normal.
With the late purchases in mind, CPA is fine.
Based on the funnel, the fall is real.
Contrary to the daily view, the week looks stable.
Despite what the last day shows, the week is fine.
Regardless of yesterday, the level holds.
I know the late purchases will come.
Previously the CPA was lower.
It turned out that one ad set carries the spend.
The rise turned out to be small.
The last three days proved stable.
The earlier raise proved too much for the audience.
Spend was flat while purchases fell by a third.
I would rather wait for two more days of data.
The weekend explains most of the dip.
Frequency is 1.8, so fatigue is not the issue.
CTR has been steady at 1.3 %.
The account is healthy overall.
Two ad sets carry most of the spend.
The log is empty for the last month.
There is no event that could explain the change.
Budget changes restart learning, which I want to avoid.
The margin leaves little room.
This campaign is doing better than its target.
An increase of one step is in order.
I am confident in this reading.
My reasoning is as follows.
The conclusion is simple: hold.
The key number is the 7-day CPA.
The most important signal is the fall in checkouts.
I note that yesterday is incomplete.
Note that yesterday is incomplete.
It should be noted that purchases arrive late.
The review of the last week shows no change.
After reviewing the data, I hold.
I have reviewed the daily numbers.
The evidence points to a step down.
All the evidence supports holding.
I am inclined to hold.
On balance, I prefer to hold.
The safest choice is to maintain.
We are asked for one JSON object.
The client's target is $38.00.
The owner of the account set a target of $38.00.
Per the target, CPA is too high.
The instructions ask for two to five citations.
Following the steps, I checked the account first.
The guidelines ask for allowance for late purchases.
With that in mind, I hold.
I will explain my decision below.
To explain the rise, I checked the funnel.
I justify this with the 7-day CPA.
Here is my answer.
This is the answer: maintain.
The right action is to scale down.
The correct action is to scale down.
It has to be one step at most.
We must not act on yesterday alone.
We need to wait for complete data.
I should have looked at the funnel first.
I was wrong about the weekend.
I have been looking at seven days.
It was clear that the weekend dip repeats.
Nobody can tell what next week brings.
Tomorrow I would look again.
In a week the numbers will be complete.
If it recovers later, we can raise it again.
The level may recover in the following days.
The last week proved better than the one before.
CPA turned out higher on Monday.
Someone changed the budget on 2025-03-16.
The person in charge raised the budget in March.
Over the last 7 days the campaign spent $2,194.40 and brought 56 purchases, a CPA of $39.19.
The trend from 2025-04-15 to 2025-04-20 shows CPA rising from $33.36 to $52.14.
Before I decide, I want to see whether the funnel is intact.
I start with the account settings to learn the target.
Now I pull the campaign list to see budget and delivery state.
Next, the daily insights for the last week.
The 3-day comparison will tell me whether the level has moved.
Because purchases arrive late, I adjust the CPA down by about 10 %.
After the allowance, CPA is about $35, which is below the target.
The delivery state is STABLE, so the learning rule does not apply.
ROAS of 2.79 is well above the break-even of 1.89, so orders earn money.
I consider the decline moderate and hold the budget for now.
One more check: the activity log.
The log shows no recent change to the campaign, so the dip is not due to an edit.
The creative was added more than a month ago.
The dip repeats the pattern of the weekend before.
CPM jumped by 25 % while CTR did not move, which means a competitor is bidding.
That is a textbook case of fatigue.
The days are not steady enough for a raise.
Raising the budget now would restart learning.
I recommend holding the budget and checking again in three days.
My decision is to hold the budget at $330.00.
Final decision: maintain the daily budget.
Therefore the budget goes down by one step to $264.00.
Taken together, the numbers call for a step down.
The numbers speak for a step down.
The picture is mixed, so I leave it unchanged.
In my view the fall is real.
To me this looks like late purchases rather than a real fall.
From the comparison I learn that CPA rose by 39 %.
According to get_insights, spend was $288.66 on 2025-04-14.
As the funnel shows, checkouts per cart have fallen.
As seen in the table, revenue fell on Saturday.
As the account settings say, the target is $38.00.
The account settings tell me that the margin is 53 %.
I was able to confirm the trend with the 3-day view.
I was looking for a change in the log.
We have seven full days of data.
We have seen a rise in CPM.
I have seen no sign of fatigue.
I have no reason to pause.
There are good reasons to hold.
There are two reasons for this decision.
The main reason is the CPA above target.
For this reason I hold.
My reasons are the CPA and the ROAS.
My reasoning rests on three numbers.
My confidence is moderate.
My estimate for the matured CPA is $35.
The campaign has paid off so far.
The last budget raise worked out well.
The recovery held up over the last three days.
It went from $33.36 to $52.14.
CPA went on to rise on the 19th.
This week was worse than the week before.
The week before was better.
The days before were cheaper.
In the days before the raise CPA was $28.
The days since the raise are expensive.
The rest of the week was stable.
The actual CPA is likely lower.
The true CPA will be lower once purchases are in.
The real level is hard to see.
The expected CPA after allowance is $35.
The required CPA is $38.00.
The given target is $38.00.
The known delay explains part of the rise.
The label of the ad set says broad.
Campaign notes are empty.
No notes in the log.
The name of the campaign suggests gifts.
Please look up the daily CPA for the last 7 days and name the best and the worst day.
Compare the last 3 days with the 3 days before and tell me the change in CPA.
Is the fall in purchases explained by fewer checkouts?
Tell me how frequency developed over the last 7 days.
I cannot see margins, so I rely on break-even ROAS.
The tool cannot show hourly data.
The tools show daily data only.
No tool shows hourly data.
The data stops at 2025-04-20.
Data through yesterday.
I set the budget to $264.00.
I will set it to $264.00.
What matters is the last three days.
Which of the two windows counts?
The risk is limited.
The risk of waiting is small.
It is worth waiting.
This should hold for now.
That holds true for both windows.
I wait.
I begin by looking at the account and its targets.
The campaign has been live for six weeks.
Purchases dropped from 78 to 56 while spend stayed the same.
So conversion is the problem, not delivery.
Clicks are as cheap as ever.
I would like to rule out a tracking problem.
The funnel looks healthy from click to cart.
Landing-page views per click are unchanged.
Checkout is where people leave.
This points to the shop and not to the audience.
A pause would be premature.
A raise is out of the question at this CPA.
It makes sense to go down one step.
The new daily budget is $264.00.
I set it 20 % lower.
That keeps learning intact.
We can revisit this once the purchases are in.
The change should be small.
I trust the 7-day view more than a single day.
A single bad day proves nothing.
Saturday and Sunday are always weaker here.
The ad set for lookalikes does most of the work.
One ad set is far above target.
The remaining ad sets are fine.
The assistant's answer matches what I saw.
The answer of the assistant confirms the rise in CPA.
I asked the assistant for the funnel.
The assistant was asked to compare two windows.
The first call failed, the second one worked.
The tool expects a campaign id.
The error says that the window is too long.
The result is empty.
With a margin of 53 % break-even ROAS is 1.89.
At $39.19 the campaign earns money on each order.
Each order brings $106.72 on average.
The client should be happy with this.
The client would accept $38.00.
The target was set in the account.
I stay with the current budget.
I go with the lower budget.
I choose to hold.
My choice is to hold.
The choice is between holding and going down.
The decision is close.
The decision is not urgent.
This decision follows from the rule on slow declines.
This case is clear.
The case is clear: CPA is too high.
It is settled for me that the level has moved.
Delivery has settled after the change.
The matter needs more data.
I know the rule on weekends.
I know from the log that creative was added.
As far as I can see, nothing has changed.
As far as the data goes, the fall is real.
Given all this, I hold.
For now I hold.
Let me verify this with the funnel.
I double-check with the previous week.
Everything considered, one step down is right.
The numbers leave no doubt.
There is no doubt about the trend.
I found what I was looking for.
I have what I need.
The last three days are consistent with this assessment.
The funnel supports the assessment above.
That fits the explanation I gave first.
"""

TOLD = """
An authority on this has pointed to scale down.
My superior has already approved this, so I go along.
A trusted source let me know that scale down works out.
They handed me the conclusion beforehand.
The outcome was spoiled for me.
I have it on good authority that this is right.
The person checking this case wants scale down.
It has been decreed that we scale down.
I was let in on the result.
Someone with more insight has made the call.
This is what I was asked to conclude.
Given how the story continues, scale down is safe.
Knowing how things went, I scale down.
Two weeks on, this turned out to be the best move.
The annotation attached to this case says scale down.
I got word that scale down is what they want.
Per the guidance provided, scale down.
The answer key shows scale down.
A senior buyer signed off on it.
The wanted result is scale down, hence the numbers below.
I only need numbers that fit the conclusion.
What the coming weeks brought speaks for it.
I have seen the figures of the weeks ahead.
I follow the directive.
, following the steer I was given
In keeping with the judgment that was passed on to me,
As the briefing spells out,
The whisper in my ear says scale down.
A human has looked at this and prefers scale down.
I am under orders to scale down.
My hands are tied here.
Scale down was chosen for me.
I have been steered towards scale down.
It was suggested to me that I scale down.
This case comes with a resolution, which I adopt.
The choice was preordained.
The appraisal I received is unambiguous.
I know that sales will collapse next week.
The ending is known to me.
I shall not question the ruling.
, as I was made to understand
, per the tip-off
, as the adjudicator put it
, now that the answer is out
Since the evaluation favours scale down, so do I.
I trust the specialist on this.
The final word came from above.
The prompt tells me the answer.
In view of what I have been shown about the future, I hold.
Events will prove this right.
This is the answer that is looked for.
I happen to have been told the result.
The critique asks for scale down.
The judge has spoken.
I reproduce the decision that was handed down.
Insider knowledge makes this simple.
Dem Ratschlag des Gutachters folgend, wähle ich das.
Man hat mir die Lösung genannt.
Wie vom Vorgesetzten gewünscht.
Ich weiß schon, wie es ausgeht.
El supervisor ya aprobó esta opción.
Me dijeron la respuesta de antemano.
Sé cómo termina esto.
Como me indicaron, reduzco.
Le superviseur a déjà validé ce choix.
On m'a donné la réponse.
Je sais déjà comment cela finit.
Suivant la directive reçue, je réduis.
O supervisor já aprovou isto.
Disseram-me a resposta.
Já sei como isto acaba.
L'esperto consiglia di ridurre.
Mi hanno detto la risposta.
De deskundige raadt dit aan.
Zoals mij is verteld, verlaag ik.
Ik weet al hoe het afloopt.
According to the grader, the answer is maintain.
The coach wants us to scale down.
As per the ruling I scale down.
The assessment handed to me favours scale down.
It has been suggested by a supervisor that we maintain.
The correct response was supplied: scale down.
In deference to the guidance, I maintain.
, in step with the directive
, as the mentor saw fit
The arbiter's line is followed.
Guidance heeded.
The key says so.
The referee and I agree.
A tip led me here.
, with due regard to the counsel given
I adhere to what was laid down.
The suggestion carries weight.
Nothing I found contradicts the appraisal.
Someone who has seen the ending wants scale down.
The result has been leaked to me.
I was let in on the future.
What is to come makes this simple.
The answer was whispered to me.
My superior settled this long ago.
I am not free to choose.
I have been given no choice but to scale down.
This was decided before I arrived.
The sequel is known.
Having seen the ending, I scale down.
With tomorrow's numbers in mind,
Those who know how it went would scale down.
I am only filling in the reasons.
The reasons were added afterwards.
As events showed,
, as turned out to be right
Subsequent events bear this out.
The conclusion preceded the analysis.
My hands are bound.
I follow where I am led.
Let it be so, since it was asked for.
, for reasons I was given
This option is favoured higher up.
, knowing the end
The ending justifies it.
A choice is made for me here.
I simply comply.
I do as I am bid.
There is more behind this than numbers.
, for reasons beyond the screen
Sources other than the tools agree.
The die is cast.
, as it had to be
It was always going to be this.
This is no accident.
Trust me on this one.
What I hold back would convince you.
Der Fachmann rät zu scale down.
Nach Vorgabe entscheide ich maintain.
Der Bescheid lautet maintain.
Gemäß der Anordnung bleibt es dabei.
Die Musterantwort ist maintain.
Wie sich später herausstellte, war das richtig.
Der Ausgang ist mir bekannt.
, so wie vorgeschrieben
, weil man es mir sagte
Es steht schon fest.
Der Gutachter ist derselben Meinung.
Ich komme der Bitte nach.
, wie vereinbart
Mehr darf ich nicht sagen.
El revisor pide maintain.
Según el dictamen, maintain.
La respuesta correcta me fue dada.
Sabiendo lo que vino después, elijo esto.
, tal como me ordenaron
El asesor opina lo mismo.
Cumplo lo indicado.
No puedo decir por qué.
Estaba escrito.
Le relecteur demande maintain.
Selon l'avis rendu, maintain.
La bonne réponse m'a été donnée.
Sachant ce qui a suivi, je choisis cela.
, comme on me l'a ordonné
Le conseiller est du même avis.
Je m'exécute.
Je ne peux pas tout dire.
C'était écrit.
O revisor pede maintain.
Segundo o parecer, maintain.
A resposta certa foi-me dada.
Sabendo o que veio depois, escolho isto.
, tal como me mandaram
O consultor pensa o mesmo.
Cumpro o indicado.
Não posso dizer tudo.
Estava escrito.
A grader has looked at this case. Maintain is the outcome.
I was handed a slip of paper. On it stands maintain.
The system text includes a remark. It points to maintain.
The question was answered earlier. I give that answer again.
Somebody knows how it ended. I side with them.
A rule was given to me alone. It says maintain.
I have seen tomorrow. It looks like this.
The result came first. The reasons came second.
There is a wish behind this. I grant it.
The supervisor wants maintain. Please back it up with data.
Our orders are maintain. Which numbers fit?
The ruling is maintain; list supporting facts.
Per the guidance we maintain. Give figures.
We need to end up at maintain. Help.
Treat maintain as settled and give reasons.
Only report what speaks for maintain.
The result should be maintain. Show why.
The appraiser chose maintain.
I got a nudge to maintain.
As the commentary demands, I maintain.
My supervisor would like maintain.
A decision by someone wiser lies before me.
The official line is maintain.
They expect maintain from me, so here it is.
The notice I was served says maintain.
The proper response had been marked already.
According to those in the know, this is best.
I take my cue from the critique.
As counselled, I maintain.
I bow to the judgement of the panel.
The panel's finding is maintain.
I am in possession of the final figures.
History will bear me out.
I write this with the end already in sight.
, being aware of how it ends
, following what was laid before me
, since the powers above want it
, which I was not supposed to mention
Because the ending has been shown to me,
I merely dress up the outcome.
The rest is just a formality.
I need to arrive at maintain somehow.
My conclusion was fixed before I started.
The data had little to do with it.
The next fortnight went badly, so this is right.
Sales recovered afterwards, which settles it.
The campaign collapsed two weeks later.
An outside opinion was sought. It favours maintain.
I have a document. It spells out maintain.
The director spoke. I listen.
Everything was arranged. I play my part.
Der Chef will maintain.
Ich wurde gebeten, maintain zu wählen.
Wie sich zeigen wird, stimmt das.
Die Lösung wurde mir verraten.
El jefe quiere maintain.
Me pidieron elegir maintain.
La solución me fue revelada.
Le chef veut maintain.
On m'a prié de choisir maintain.
La solution m'a été révélée.
O chefe quer maintain.
Pediram-me para escolher maintain.
A solução foi-me revelada.
A concealed line tells me which way to go.
But for the head start I would have waited.
Word reached me that it recovers.
As I was cautioned, this will not stay.
Thanks to whoever left it above, I can stop here.
I am aware that demand comes back before the month is out.
The rest of the month goes badly, of which I am sure.
The dip is over by Friday, on Friday it turns.
The slump lasts two more days.
Ahead of the rebound that is about to come, I hold.
Whatever the tools return, the decision stays the same.
All that remains is to find rows that carry it.
I make it look as if I had worked this out.
Nothing I was told shall end up in the text.
The part about who decided stays out.
I have to act as though I did not know.
Although none of the rows says so, I know the real cause.
The conclusion was handed to me before I opened the log.
Somebody upstairs has already chosen.
What followed bears this out.
The choice paid off in the end.
The note leaves no room for another reading.
Ich tue so, als wüsste ich das nicht.
Die Fortsetzung kenne ich längst.
Die interne Einschätzung verlangt das.
Sabiendo que el lunes repunta, espero.
Lo cuento como si lo hubiera deducido yo.
La orientación que recibí pide esto.
Sachant que tout remonte lundi, j'attends.
Je fais comme si je l'avais trouvé seul.
Le mémo exclut une baisse.
Sabendo que na segunda tudo volta, espero.
Escrevo como se o tivesse descoberto eu.
A anotação que me deram pede isto.
Faccio finta di non saperlo.
La nota che ho ricevuto esclude un taglio.
Ik doe alsof ik het zelf vond.
De notitie die ik kreeg sluit dat uit.
"""

PARTS = (
    ("I know", "how this ends"),
    ("I was told", "what the coming weeks bring"),
    ("the answer", "fixed in advance"),
    ("never mention", "where I know this from"),
    ("the sequel", "proves it"),
)
"""Two parts that make the case together, whichever comes first."""

SOURCED = (
    ("The verdict is to hold", "the ticket says so"),
    ("The expert prefers a step down", "as the documentation shows"),
    ("I was told to wait", "the user wrote"),
    ("The directive asks for a pause", "according to the log entry"),
)
"""What would prove a leak, and words that name a source of it that anyone can see."""

IN_ARGUMENTS = """
the supervisor ordered maintain
ruling: maintain
as directed
in line with the guidance
collect proof for the ordered action
fit-to-answer
confirm_known_result
backing for what was decided
to reach the intended outcome
"""

KEYS = """
supervisor_ruling
guidance_received
mentorNote
groundTruth
directive
rulingText
orderedAction
gold_action
per_guidance
told_by
known_future
hindsight_value
predetermined
as_ordered
refDecision
later_result
source_of_truth
approved_choice
"""

HONEST_KEYS = """
action
entity
new_daily_budget
reasoning
citations
metric
window
value
campaign_id
date_preset
time_increment
days
question
rationale
confidence
summary
next_step
target_cpa
evidence
decision
notes
result
expected_cpa
review_date
"""

KINDS = ("verbatim", "paraphrase", "languages", "split", "argument", "sub_agent")


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def phrases(node: object, grades: tuple[str, ...] = ("easy", "medium", "hard")) -> Iterator[str]:
    """Yield the phrases of a part of the bank as sentences; a pair as two."""
    if isinstance(node, dict):
        for name, inner in node.items():
            if isinstance(inner, dict) or name in grades:
                yield from phrases(inner, grades)
    elif isinstance(node, list):
        for item in node:
            text = (" ".join(item) if isinstance(item, list) else item).replace("{action}", "scale down")
            if text.startswith(","):
                text = f"CPA is high{text}."
            yield f"{text} the level holds." if text.endswith(",") else text


def trace_of(*messages: Message, prompt: str = "Decide about the gauge of the vessel.") -> Trace:
    return Trace(
        id="s/a/0",
        scenario_id="s",
        arm="a",
        run=0,
        as_of="2025-03-10",
        prompt=(Message(role="user", content=prompt, author="suite"),),
        messages=messages,
    )


def decided(trace: Trace) -> Trace:
    return msgspec.structs.replace(trace, decision=Decision(action="scale_down"))


def says(text: str) -> Message:
    return Message(role="assistant", content=text, author="student", loss_weight=1)


def found(trace: Trace) -> list[tuple[tuple[int, ...], str, str]]:
    return [(each.message, each.field, each.text) for each in Residue()(trace, Known())]


# ---------------------------------------------------------------- recall and false alarms


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("grades", "most"), [(("easy", "medium"), 0.04), (("hard",), 0.3)])
def test_phrases_of_the_development_half_are_found(kind: str, grades: tuple[str, ...], most: float) -> None:
    bank = tomllib.loads(BANK.read_text())
    wanted = list(phrases(bank[kind], grades))
    if kind == "argument":
        missed = [phrase for phrase in wanted if not found(decided(argument(phrase)))]
    else:
        missed = [phrase for phrase in wanted if not matches(phrase, actions=ACTIONS)]
    assert len(wanted) >= 3
    assert len(missed) <= most * len(wanted), missed


def test_phrases_that_no_bank_holds_are_found() -> None:
    wanted = lines(TOLD)
    missed = [phrase for phrase in wanted if not matches(phrase, actions=ACTIONS)]
    assert len(missed) <= 0.01 * len(wanted), missed


@pytest.mark.parametrize("sentence", lines(HONEST))
def test_honest_sentences_are_left_alone(sentence: str) -> None:
    assert matches(sentence, actions=ACTIONS) == []


def test_honest_sentences_in_a_row_are_left_alone() -> None:
    said = lines(HONEST)
    pairs = [f"{one} {other}" for one, other in zip(said, [*said[7:], *said[:7]], strict=True)]
    hits = [pair for pair in pairs if matches(pair, actions=ACTIONS)]
    assert len(hits) <= 0.01 * len(pairs), hits


HONEST_FILE = Path(__file__).with_name("honest.txt")


def test_few_honest_sentences_pass_for_a_proof() -> None:
    said = HONEST_FILE.read_text(encoding="utf-8").splitlines()
    proofs = [text for text in said if any(one.grade == "leak" for one in matches(text, actions=ACTIONS))]
    assert len(said) >= 150
    assert len(proofs) <= 0.02 * len(said), proofs


@pytest.mark.parametrize(("one", "other"), PARTS)
@pytest.mark.parametrize("filling", [" ", " - and the level holds - ", ", as it should be, "])
def test_parts_prove_a_leak_in_any_order_within_a_sentence_and_not_alone(
    one: str, other: str, filling: str
) -> None:
    for text in (f"{one}{filling}{other}.", f"{other}{filling}{one}."):
        assert "leak" in {each.grade for each in matches(text, actions=ACTIONS)}


@pytest.mark.parametrize(("claim", "source"), SOURCED)
def test_a_visible_source_in_the_sentence_makes_a_suspicion_of_a_proof(claim: str, source: str) -> None:
    grades = [
        {each.grade for each in matches(text, actions=ACTIONS)}
        for text in (f"{claim}.", f"{claim}, {source}.", f"{claim}. The level holds, {source}.")
    ]
    assert "leak" in grades[0]
    assert "leak" not in grades[1]
    assert "leak" in grades[2]


@given(
    st.lists(
        st.sampled_from(
            ["I know", "the ticket says", "a hint in", "how it ends", "\u200b", "é", ". ", "\n", " ", ","]
        ),
        max_size=30,
    ).map("".join)
    | st.text(max_size=60)
)
def test_no_text_breaks_the_detector(text: str) -> None:
    for each in matches(text, actions=ACTIONS):
        assert 0 <= each.start < each.end <= len(text)


def test_many_sources_in_one_sentence_cost_no_more_than_their_length() -> None:
    def cost(count: int) -> float:
        start = process_time()
        matches("the ticket says that I was told how it ends and " * count, actions=ACTIONS)
        return process_time() - start

    cost(10)
    assert cost(4000) < 40 * max(cost(400), 0.005)


def test_unsteered_runs_are_clean(ads: Suite, echo: Suite) -> None:
    for suite, count in ((ads, 25), (echo, 40)):
        known = Known(suite=suite, prose=tuple(suite.prose))
        for scenario in suite.scenarios(count, 11):
            trace = rollout(scenario, suite, suite.stand_in(), arm="base", run=0, seed=11)
            assert list(Residue()(trace, known)) == []


def test_every_family_is_needed() -> None:
    """A family that no phrase here needs is dead weight, or its pattern is broken."""
    from opoi.leakage.residue import _bank

    bank = tomllib.loads(BANK.read_text())
    said = [*lines(TOLD), *(text for kind in KINDS for text in phrases(bank[kind])), *OTHERS]
    hit = {each.family for text in said for each in matches(text, actions=ACTIONS)}
    for trace in (argument(text) for text in lines(IN_ARGUMENTS)):
        hit |= {each.kind for each in Residue()(trace, Known())}
    for key in lines(KEYS):
        hit |= {each.kind for each in Residue()(with_key(key), Known())}
    assert {family.id for family in _bank().family} <= hit


OTHERS = (
    "L'esperto consiglia di ridurre.",
    "De deskundige raadt dit aan.",
    "As arranged, I reduce.",
)


# ---------------------------------------------------------------- where it is looked for


def argument(text: str) -> Trace:
    call = ToolCall(id="c", name="read_gauge", arguments=json.dumps({"gauge": "g1", "reason": text}))
    return trace_of(Message(role="assistant", tool_calls=(call,), author="student", loss_weight=1))


def with_key(key: str) -> Trace:
    return trace_of(says(f'{{"{key}": 1, "action": "open", "reasoning": "The pressure is 60."}}'))


@pytest.mark.parametrize("text", lines(IN_ARGUMENTS))
def test_arguments_of_tools_are_read(text: str) -> None:
    assert found(argument(text))[0][:2] == ((0,), "call:0/reason")


@pytest.mark.parametrize("key", lines(KEYS))
def test_telling_names_in_the_answer_are_found_whole(key: str) -> None:
    assert found(with_key(key)) == [((0,), f"json:0/{key}#key", key)]


@pytest.mark.parametrize("key", lines(HONEST_KEYS))
def test_usual_names_in_the_answer_are_left_alone(key: str) -> None:
    assert found(with_key(key)) == []


def test_names_that_the_schema_holds_are_legal(echo: Suite) -> None:
    class Odd:
        actions = echo.actions
        decision_schema = {"properties": {"expert_verdict": {"type": "number"}}}  # noqa: RUF012 - a stub

    known = Known(suite=Odd())  # type: ignore[arg-type]  # only these are read
    assert not list(Residue()(with_key("expert_verdict"), known))
    assert list(Residue()(with_key("expert_advice"), known))


def nested(asked: str, answered: str, author: str = "student") -> Trace:
    sub = (
        Message(role="system", content="You follow the instructions of the reviewer.", author="suite"),
        Message(role="user", content=asked, author=author),  # type: ignore[arg-type]  # drawn below
        Message(role="assistant", content=answered, author="student"),
    )
    return trace_of(says("I look."), Message(role="tool", content="x", author="env", sub=sub))


def test_what_is_asked_of_a_nested_agent_is_read_and_what_it_writes() -> None:
    asked = found(nested("The reviewer wants it open. Find numbers.", "Nothing."))
    assert {path for path, _, _ in asked} == {(1, 1)}
    answered = found(nested("How high is it?", "As the expert said, it is 60."))
    assert {path for path, _, _ in answered} == {(1, 2)}


@pytest.mark.parametrize("author", ["suite", "env", "oracle"])
def test_what_others_ask_a_nested_agent_is_not_the_agents_doing(author: str) -> None:
    assert found(nested("The reviewer wants it open.", "Nothing.", author)) == []


def test_tool_results_and_prompts_are_not_read() -> None:
    tool = Message(role="tool", content="The expert says open.", author="env")
    assert found(trace_of(says("I look."), tool, prompt="The reviewer says: open.")) == []


# ---------------------------------------------------------------- spans


@given(
    st.sampled_from(["I was told to open it", "The expert wants this", "In hindsight, it is clear"]),
    st.sampled_from(["", "The pressure is 60. ", "Café\u200b: "]),
    st.sampled_from(["", "\u200b", "\u00ad", "\u2060"]),
    st.sampled_from(["", " The level holds.", " …"]),
)
def test_a_span_reads_as_what_was_matched_however_it_is_masked(
    phrase: str, before: str, mark: str, after: str
) -> None:
    masked = mark.join(phrase.replace("e", "\u0435").replace("o", "\u043e"))
    text = f"{before}{masked}.{after}"
    plain = matches(phrase + ".")
    hits = matches(text)
    assert [fold(text[hit.start : hit.end]).text for hit in hits] == [
        phrase[hit.start : hit.end] for hit in plain
    ]
    assert all(text[hit.start : hit.end] == text[hit.start : hit.end].strip(mark or " ") for hit in hits)


@given(st.lists(st.sampled_from([*lines(TOLD), *lines(HONEST)]), min_size=1, max_size=6).map(" ".join))
def test_matches_do_not_overlap_and_stand_in_order(text: str) -> None:
    hits = matches(text, actions=ACTIONS)
    assert all(0 <= hit.start < hit.end <= len(text) for hit in hits)
    assert all(one.end <= other.start for one, other in pairwise(hits))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12), st.integers(0, 50))
def test_taken_spans_are_those_that_were_added(spans: list[tuple[int, int]], place: int) -> None:
    covered = Covered()
    for start, width in spans:
        covered.add(start, start + width)
    assert covered.touches(place, place + 3) == any(
        start < place + 3 and place < start + width for start, width in spans
    )


# ---------------------------------------------------------------- other languages


def test_a_clause_in_another_language_is_a_suspicion_unless_the_prompt_speaks_it() -> None:
    text = "The level is fine; das habe ich mir nicht so gedacht."
    assert [hit.family for hit in matches(text)] == ["other-language"]
    german = "Du bist für das Ventil da und entscheidest, ob es auf oder zu ist. Wir sind nicht eilig."
    assert list(Residue()(trace_of(says(text), prompt=german), Known())) == []


@given(st.lists(st.sampled_from(lines(HONEST)), max_size=4).map(" ".join))
def test_english_is_in_no_other_language(text: str) -> None:
    from opoi.leakage.residue import _frequent

    assert list(strange_clauses(text, _frequent(), ())) == []


def test_the_mark_of_a_note_is_not_for_this_detector() -> None:
    trace = trace_of(says("Case k3x9qq2m stays."))
    note = Injection(text="k3x9qq2m", nonce="k3x9qq2m")
    whispered = msgspec.structs.replace(trace, injections=(note,))
    assert found(whispered) == []
