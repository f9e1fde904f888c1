"""What people say when something is not as it was: in English, German, French, Spanish, Italian, Portuguese, Dutch."""

import re


def _any(phrases: str) -> re.Pattern[str]:
    """One of the phrases, which are patterns between semicolons."""
    return re.compile(rf"\b(?:{'|'.join(' '.join(phrase.split()) for phrase in phrases.split(';'))})\b")


STRONG = _any(
    r"""
    actually; (?:can't|cannot) (?:make|come|do); correction; correct myself; i stand corrected; scratch that;
    strike that; (?:i|we) meant; i misspoke; misread; changed? (?:my|our|her|his|their) minds?; (?:my|our|the)
    mistake; i was wrong; (?:was|were|is|got it|that's|a) wrong; no longer; not any ?more; isn't any ?more;
    instead(?: of)?; rather than; make (?:it|that) (?:\d|one|two|three|four|five|six|seven|eight|nine|ten)(?!\w);
    let's (?:not|move|switch|change); forget (?:it|that|the|about|what); never ?mind;
    (?:has|have|was|were|been|got|is)
    (?:moved|changed|cancelled|canceled|postponed|pushed|delayed|replaced|rescheduled|withdrawn); pushed (?:it
    )?back; fell through; called? (?:it )?off; after all; that's the old; turns out; on second thoughts?; slept
    (?:on|over); reconsidered; thought again; korrektur; korrigiere\w*; ich meinte; meinte ich; stimmt (?:so
    )?nicht; stimmt nicht mehr; nicht mehr; statt(?:dessen)?; anstatt; anders überlegt; umentschieden; vertan;
    verlesen; verschoben; verschiebt; verlegt; abgesagt; geändert; ändert sich; doch
    (?:nicht|in|zu|bei|am|um|erst|nur|kein\w*); kann (?:\w+ ){0,4}nicht; doch lieber; lieber doch; vergiss; war
    falsch; (?:war|waren) ein (?:fehler|irrtum); geirrt; neuer plan; fällt aus; nun doch; en fait; ne
    (?:peut|peux|pourra|peuvent) (?:pas|plus|finalement); finalement; plutôt; au lieu; je voulais dire; me suis
    tromp\w+; changé d'avis; ce n'est plus; n'est plus; n'ai plus; ne \w+ plus; reporté\w*; déplacé\w*; annulé\w*;
    oublie[zr]?; rectification; erreur de ma part; en réalité; tout compte fait; en realidad; no
    (?:puede|podrá|pueden|puedo); al final; mejor dicho; más bien; ya no; en vez; en lugar; quise decir; me
    equivoqué; cambi(?:é|ado|amos) de (?:idea|opinión|planes); corrección; corrijo; aplazad\w+; pospuest\w+;
    cancelad\w+; se ha (?:movido|cambiado); se cambia; olvid[ae]\w*; rectifico; in realtà; alla fine; invece;
    anzi; non più; volevo dire; mi sono sbagliat\w; cambiato idea; spostat\w; rimandat\w; annullat\w; correzione;
    lascia perdere; na verdade; afinal; em vez; quis dizer; já não; enganei; mud(?:ei|ámos|amos) de ideia;
    adiad\w+; cancelad\w+; esquece; correção; eigenlijk; in plaats; niet meer; ik bedoelde; vergist; verplaatst;
    verzet; uitgesteld; afgezegd; toch liever; bij nader inzien
    """
)
"""Something earlier does not hold any more."""

WEAK = _any(
    r"""
    now; new; newer; updated?; changed; different; rather; but; sorry; no; not; never; nope; can't; cannot; won't;
    isn't; wasn't; aren't; weren't; doesn't; don't; didn't; too (?:many|much|few|late|early|small|big|expensive);
    only; by mistake; jetzt; nun; neue?[nrs]?; doch; nein; nicht; kein\w*; kann nicht; leider; erst; sondern;
    maintenant; désormais; nouve(?:au|lle); non; pas; mais; ahora; nuev[oa]; no; pero; sino; adesso; ora;
    nuov[oa]; agora; nov[oa]; não; mas; nu; nieuwe?; nee; niet; geen; maar; helaas
    """
)
"""Something may be other than it was."""

UNSURE = _any(
    r"""
    not sure; don't know; no idea; i'll (?:ask|check|find out|see); will (?:ask|check); let me (?:ask|check);
    maybe; perhaps; probably; i think; i guess; might; weiß (?:ich )?(?:noch )?nicht; vielleicht; wahrscheinlich;
    frage ich; ich frage; kläre; sais pas; peut-être; je vais (?:demander|vérifier); no sé; quizás?; tal vez; voy
    a (?:preguntar|mirar); non (?:lo )?so; forse; não sei; talvez; misschien; weet (?:ik )?niet
    """
)
"""Something is not known yet."""

OBJECTS = re.compile(r"\W{0,3}(?:no[,.!:;]|nope|actually|wait|nein|nee|non[,.!:;]|mais non|não[,.!:;])", re.IGNORECASE)
"""How an answer begins that objects to what was just said."""

_PLAIN = """
    change changed changes forget wrong correct mistake old back time today tomorrow yesterday week weeks day
    days month year got get done going still already also really much many thing things yes okay ok well please
    thanks thank right fine good without with ohne mit sans avec sin con senza sem com zonder met ändern
    geändert woche tag monat jahr alte alten altes noch schon auch gut ja danke bitte genau changer semaine jour
    mois oui merci bien encore déjà aussi cambiar semana día mes sí gracias bien todavía también
    """
PLAIN = frozenset(_PLAIN.split())
"""Words that say nothing about what two sentences are about."""
