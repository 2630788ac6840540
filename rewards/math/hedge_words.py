"""Words that take a claim back, in many languages: "not", "at most", "or", "between ... and", "cannot be determined".

Each table becomes one regular expression. A word of a script with spaces stands between characters that are no letters.
"""

import unicodedata

_OR = """
    or, either, maybe, perhaps, possibly, alternatively, versus, vs, and/or, might be, could be, one of, quizás,
    quizá, tal vez, o bien, soit, ou bien, peut-être, oder, entweder, vielleicht, bzw, beziehungsweise,
    talvez, seja,
    или, либо, возможно, может быть, або, можливо, lub, albo, bądź, może, ofwel, misschien, eller, kanske, måske,
    kanskje, vai, ehkä, vagy, talán, sau, nebo, anebo, možná, alebo, możda, είτε, ίσως, oppure, ovvero, forse, veya,
    ya da, yahut, belki, atau, mungkin, ataupun, entah, barangkali, hoặc, có thể, có lẽ, labda, o kaya, أو, او, إما,
    ربما, یا, شاید, אולי, या, अथवा, शायद, किंवा, कदाचित, অথবা, কিংবা, হয়তো, ਜਾਂ, અથવા, அல்லது, ஒருவேளை, లేదా, ಅಥವಾ,
    അല്ലെങ്കിൽ, හෝ
"""
_OR_UNSPACED = """
    或, 还是, 還是, 要么, 要麼, 也许, 也許, 可能, 抑或, または, 又は, もしくは, 若しくは, あるいは, 或いは, ないし,
    それとも, か(?!ら|つ|な|ん|け|え|ぎ|わ|の), 또는, 혹은, 이거나, 거나, 아니면, 아마, 이나, หรือ, อาจ, ឬ, ຫຼື
"""
_NOT = r"""
    not, never, cannot, no longer, neither, (?:anything|everything|all) (?:but|except|other than),
    other than, different from, unequal to, far from, nothing like, hardly, scarcely, isnt,
    unlikely to, no, (?:otr[oa]s?|todos?|toda) (?:que|menos|excepto|salvo), tampoco, nunca,
    (?:distint|divers|diferent)[oae] (?:de|da), pas, jamais,
    autres? que, tout (?:sauf|autre que), n['’]importe quoi sauf,
    (?:alles|etwas|jede\w*) (?:außer|andere[sr]? als), ander[es]s? als,
    tutto (?:tranne|fuorché|meno), altro (?:da|che), tudo (?:menos|exceto), outr[oa]s? que,
    différente? de, nicht, nie, niemals, keine?, keinesfalls, keineswegs, weder, ungleich, não, не, никогда,
    отли(?:чается|чн\w+|чен) от, кроме, крім, відмінн\w+ від, niet, nooit, alles behalve, anders dan,
    ongelijk aan, różn[eya] od, ikke, inte, annat än, non, bukan, selain, tidak, bukanlah, không, không phải,
    khác, chẳng, و?ليس,
    و?ليست, سوى, لا, لن, غير, לא, אינו, není, nije, δεν, siyo, hindi
"""
# "None other than 42" and the like: two denials, which claim.
_ELSE = """
    other, else, different, anything, but, andere?[rs]?, autres?, autre chose, otr[oa]s?, outr[oa]s?, altr[oaie],
    кроме, иное, другого, іншого, selain, lain, khác, ander, andet, annat, jiného, inneg?o, başka
"""
_NOTHING = """
    no, none, not, nothing, nobody, never, cannot, nichts?, keine?s?, niets?, geen, ничего, нет, не, ничто,
    ніщо, нічого,
    non, niente, nulla, não, nada, ne, rien, personne, n['’]est, pas, tidak, bukan, không, nie, nic, inget, intet
"""
_NOT_UNSPACED = """
    绝不是, 决不是, 除了, 不是, 不等于, 不等於, 并非, 並非, 不会是, 不可能是, 不為, 不为,
    既不是, 也不是, ไม่ใช่, ไม่เท่ากับ, ≠
"""
_NOT_AFTER = r"""
    (?:is|was|are|were)\s+(?:wrong|incorrect|false|impossible),
    (?:is|was|are|were)(?:n['’]t|\s+(?:not|never))(?=\W*$|\s*[.!;:)]),
    (?:is|was|are|were)(?:n['’]t|\s+(?:not|never))
    (?:the|an?|my|our|what|it|correct|right|possible|valid|true|equal|allowed), (?:no|não|non)\s+(?:es|é|è),
    के अलावा, के सिवा, ছাড়া, کے علاوہ, کے سوا,
    ['’]?(?:den|dan|ten|tan) (?:farklı\w*|başka\w*), नहीं, नही, নয়, নহে, না, نہیں, değil\w*, olamaz, yanlış,
    falsch, faux, نیست, இல்லை, కాదు
"""
_NOT_AFTER_UNSPACED = """
    以外, 일 수 없, (?:은|는)? ?외의, 이 아닌, 가 아닌, を除,
    では(?:ない|ありません|なく|無い), じゃ(?:ない|ありません|なく), で(?:ない|ありません),
    とは(?:ならない|異なる),
    (?:이|가|은|는|도)?\\s*아니, (?:이|가|은|는)?\\s*아닙, (?:이|가|은|는)?\\s*아님, 不对, 不對, 错误, 是错的,
    不是答案
"""
_BOUND = r"""
    at (?:the )?(?:very )?(?:most|least), just (?:below|above|over|under),
    (?:no|not)? ?(?:more|less|fewer|greater|larger|bigger|smaller|higher|lower) than, up to, over, under, above,
    below, (?:a|the|an)? ?(?:maximum|minimum|upper bound|lower bound)(?: of)?, max, min, exceeds, exceeding, nearly,
    almost, bounded by, (?:not|does not) exceed, as (?:many|much|few|little) as, como (?:máximo|mínimo), al menos,
    a lo (?:sumo|más), por lo menos, (?:más|menos|mayor|menor|superior|inferior) (?:de|que|a), hasta, máximo,
    mínimo,
    au (?:plus|moins|maximum|minimum), tout au plus, (?:plus|moins) (?:de|que), (?:supérieure?|inférieure?) à,
    jusqu['’]à, maximum, minimum, höchstens, mindestens, maximal, minimal, wenigstens,
    (?:mehr|weniger|größer|kleiner|höher|niedriger) als, bis zu, über, unter, no (?:máximo|mínimo), pelo menos,
    ao menos, (?:mais|menos|maior|menor) (?:de|que|do que), até, acima de, abaixo de,
    (?:не )?(?:более|менее|больше|меньше|выше|ниже)(?: чем)?, максимум, минимум, самое (?:большее|меньшее),
    по (?:меньшей|крайней) мере, до, свыше, как минимум, как максимум, около максимума,
    (?:не )?(?:більше|менше|вище|нижче)(?: ніж| за)?, щонайбільше, щонайменше, понад, co (?:najwyżej|najmniej),
    (?:więcej|mniej|większe|mniejsze) niż, ponad, poniżej, maksymalnie, minimalnie, nejvýše, nejméně, alespoň,
    (?:více|méně) než, högst, minst, upp till,
    som (?:mest|minst), (?:mer|mindre|större|färre|fler) än, højst, mindst, op til, opptil,
    (?:mere|mindre|større) end, hoogstens, minstens, maximaal,
    minimaal, uiterlijk, tot(?: en met)?, (?:meer|minder|groter|kleiner) dan, ten (?:hoogste|minste), al
    (?:massimo|minimo|più),
    almeno, (?:non )?(?:più|meno) (?:di|che), (?:maggiore|minore|superiore|inferiore) (?:di|a), fino a, oltre,
    massimo, minimo, paling (?:banyak|sedikit|lama|kecil|besar|tidak),
    (?:tidak )?(?:lebih|kurang)(?: besar| kecil)? (?:dari|daripada), maksimal, setidaknya, sekurang-kurangnya,
    sebanyak-banyaknya, hingga, sampai(?: dengan)?, (?:nhiều|ít|lớn|nhỏ|cao|thấp) (?:nhất|hơn)(?: là)?, hơn,
    tối (?:đa|thiểu), không quá, dưới,
    trên, en (?:fazla|az|çok), en (?:büyük|küçük), على (?:الأكثر|الأقل), (?:أكثر|أقل|أكبر|أصغر) من,
    لا يزيد (?:عن|على), لا يقل عن, لا يتجاوز, بحد أقصى, حتى, अधिकतम, न्यूनतम, कम से कम,
    (?:ज़्यादा|ज्यादा|ज़्यादा|अधिक) से (?:ज़्यादा|ज्यादा|ज़्यादा|अधिक), সর্বোচ্চ, সর্বনিম্ন, সর্বাধিক,
    কমপক্ষে, অন্তত,
    বড়জোর, ন্যূনতম, زیادہ سے زیادہ, کم از کم, کم سے کم, حداکثر, حداقل, (?:بیش|کمتر|بیشتر) از, zaidi ya, chini ya,
    angalau, si zaidi ya, hadi
"""
_BOUND_UNSPACED = """
    至多, 至少, 不超过, 不超過, 不少于, 不少於, 不大于, 不小于, 大于, 大於, 小于, 小於, 多于, 多於, 少于, 少於, 最多,
    最少, 超过, 超過, 低于, 高于, 不到, 不足, 上限(?:是|为)?, 下限(?:是|为)?, 多くても, 少なくとも, 最大で?, 最小で?,
    最低で?, 最高で?, せいぜい, 최대, 최소, 적어도, 기껏해야, 많아야, 많아도, 최소한, 최대한, อย่างน้อย, อย่างมาก,
    มากกว่า, น้อยกว่า, ไม่เกิน
"""
_BOUND_AFTER = r"""
    or (?:more|less|fewer|greater|higher|larger|smaller|lower|above|below|under|over|so more),
    and (?:up|above|below|more), at (?:the )?(?:most|least), (?:max|maximum|minimum|tops), o (?:más|menos|più|meno),
    ou (?:plus|moins|mais|menos), oder (?:mehr|weniger), или (?:более|менее|больше|меньше), або (?:більше|менше),
    lub (?:więcej|mniej), of (?:meer|minder), أو (?:أكثر|أقل), veya daha \w+, atau (?:lebih|kurang),
    hoặc (?:hơn|ít hơn|nhiều hơn), trở (?:lên|xuống), से (?:अधिक|कम|ज़्यादा|ज्यादा|ज़्यादा|बड़ा|बड़ा|छोटा|नीचे|ऊपर),
    سے (?:زیادہ|کم|بڑا|چھوٹا), (?:এর|টির|র) ?(?:বেশি|কম|চেয়ে|চেয়ে|থেকে), (?:এর|র) চেয়ে,
    ['’]?(?:den|dan|ten|tan) (?:daha )?(?:fazla|az|büyük|küçük|çok), olarak en fazla
"""
_BOUND_AFTER_UNSPACED = """
    以上, 以下, 以内, 之内, 或更多, 或更少, 未満, 未满, 超, を超え, を(?:上|下)回, より(?:大|小|多|少|上|下|も), 이하,
    이상, 미만, 초과, 보다, を越え
"""
_TO = """
    to, through, until, till, bis, do, до, إلى, الى, حتى, से, থেকে, سے, تا, sampai, hingga, sampai dengan, đến, tới,
    tot, tot en met, ila, til, až, até, fino a
"""
_TO_UNSPACED = """
    到, 至, から, 에서, 부터, ถึง, ~, 〜, ～, –, —, --, -, ‑
"""
_BETWEEN = """
    between, somewhere between, anywhere between, anywhere from, entre, zwischen, между, між, بين, antara,
    giữa, tra,
    fra, między, tussen, mellan, mellem, mellom, ما بين
"""
_BETWEEN_UNSPACED = """
    介于, 介於, 在, ระหว่าง
"""
_BETWEEN_AFTER = """
    के बीच, के मध्य, کے درمیان, के दरम्यान, (?:এর )?মধ্যে, (?:এর )?মাঝে, arasında, arası, aralığında, ke beech
"""
_BETWEEN_AFTER_UNSPACED = """
    の間, のあいだ, 之间, 之間, 사이, 间
"""
_REFUSES = r"""
    (?:cannot|can['’]?t|could not|couldn['’]t|not)\s(?:be |really |exactly )*(?:determined?|known?|tell|say|found),
    (?:cannot|can['’]?t|could not|couldn['’]t|not)\s(?:be |really )*(?:find|solved?|answered?),
    (?:impossible|unable|not possible) to (?:determine|know|tell|say|find|solve|answer),
    not (?:sure|enough information), undetermined, indeterminate, (?:do not|don['’]?t) know, no idea,
    (?:is|are|remains?) (?:unknown|unclear|not known), not enough (?:information|data),
    insufficient (?:information|data), no se (?:puede|sabe|pudo)(?: determinar)?,
    imposible (?:de )?(?:determinar|saber), no lo sé, no sé, indeterminad[oa], on ne (?:peut|sait)(?: pas)?,
    impossible (?:de|à) (?:le )?(?:déterminer|savoir|dire), je ne sais pas, indéterminée?,
    (?:nicht|kaum) (?:\w+ )?(?:bestimmen|bestimmbar|bestimmt werden|ermitteln|sagen|möglich), ich weiß (?:es
    )?nicht,
    weiß nicht, unbestimmt, unmöglich zu, não (?:pode|é possível|se pode|sei|dá)(?: ser)?,
    impossível (?:de )?(?:determinar|saber), (?:определить|установить|найти) (?:нельзя|невозможно),
    (?:невозможно|нельзя) (?:определить|установить|сказать|найти), не знаю, неизвестно,
    (?:неможливо|не можна) (?:визначити|встановити), nie (?:można|da się|wiem)(?: \w+)?,
    (?:kan )?niet (?:\w+ )?(?:bepaald|bepalen|vastgesteld)(?: worden)?, weet (?:het )?niet,
    non (?:si )?(?:può|so|è possibile)(?: \w+)?, impossibile (?:da )?determinar\w+,
    tidak (?:dapat|bisa|mungkin) (?:ditentukan|diketahui|dijawab), tidak tahu, không (?:thể|biết|đủ)(?: \w+ \w+)?,
    belirlenemez, bilinemez, bilmiyorum, لا يمكن (?:\w+), لا أعرف, لا أعلم, غير محدد, غير معروف,
    (?:निर्धारित|ज्ञात|तय) नहीं, पता नहीं, नहीं किया जा सकता, নির্ধারণ করা (?:যায়|যায়|সম্ভব) না, জানি না,
    تعین نہیں,
    معلوم نہیں, نہیں کیا جا سکتا
"""
_REFUSES_UNSPACED = """
    无法(?:确定|得知|判断|计算|回答), 無法(?:確定|得知), 不能确定, 不确定, 不知道, 未知,
    決定(?:できません|できない|不能), 求め(?:られません|られない), (?:わか|分か)(?:りません|らない), 不明,
    (?:결정|확정|판단|알)(?:할|될)? ?수 없, 모르, 알 수 없, ไม่สามารถ, ไม่ทราบ
"""
_UNLESS = """
    unless(?! I ), except (?:if|when|where|in), except for, a menos que, a no ser que, salvo (?:que|si|se), à
    moins que,
    sauf si, es sei denn, außer wenn, a menos de que, если только не, якщо тільки не, a meno che, tenzij, chyba że,
    kecuali(?: jika)?, trừ khi, إلا إذا, مالم, ما لم, जब तक कि, যদি না, جب تک
"""
_UNLESS_UNSPACED = """
    除非, でない限り, 않는 한, 아닌 한, เว้นแต่
"""


# Also words of other languages: only where nothing else stands between two numbers.
_OR_SHORT = """
    o, u, ou, ni, ni tampoco, nem, noch, nor, né, ни, ні, ani, чи, или, ή, au, ama, ya, ne, hay, tai, ili, ori, أم,
    או, বা, নয়, না, न, نہ, নয় তো, y/o, et/ou, e/o
"""
# What may stand between "not" or "at most" and a number.
_EQUALS = """
    be, possibly, necessarily, really, actually, quite, even, always, likely, probably, equal, equal to,
    equals, to, exactly, just, simply, the, a, have, get, is, es, ser, igual a, son, hay, est,
    égale? à, le, la, ist, gleich, sind, é, è, uguale a, sono, равн[оаы]м?, равен, là, phải là, bằng, sama dengan,
    adalah, jest, równe, gelijk aan, هو, هي, تساوي, يساوي, of, de, дорівнює
"""
# What begins a correction; and the word "no" where it does.
_CORRECTS = """
    wait, hold on, actually, correction, i mean, i meant, scratch that, sorry, or rather, rather, make that,
    on second thought, my mistake, my bad, in fact,
    let me (?:correct|fix|revise|recheck|re-check|recompute|rethink)(?: that| this| myself| it| my answer)?,
    (?:updated|revised|corrected|new)(?: answer)?(?=\\s*[:=]), w?oops, (?:edit|update)(?=\\s*:), espera, en
    realidad, corrección, perdón, mejor dicho,
    un momento, attends, attendez?, en fait, pardon, plutôt, warte(?: mal)?, moment(?: mal)?, halt,
    eigentlich, tatsächlich, korrektur, vielmehr, espere?,
    na verdade, correção, desculpe, aliás, подожди(?:те)?, погоди(?:те)?, постой(?:те)?, ой, стоп, на самом
    деле, исправление, поправка, точнее, вернее,
    aspett[ai], in realtà, correzione, scusa, anzi, bekle, dur, aslında, düzeltme, tunggu, sebenarnya,
    koreksi, ralat, maaf,
    chờ đã, khoan, thực ra, đính chính, sửa lại, xin lỗi, انتظر, في الواقع, في الحقيقة, تصحيح, عفوا, रुको, रुकिए,
    वास्तव में, असल में, सुधार, রুকুন, আসলে, সংশোধন, অপেক্ষা করুন, رکو, رکیں, دراصل, درحقیقت, اصل میں, تصحیح, wacht,
    eigenlijk, correctie, (?:po|za)?czekaj, właściwie, poprawka, зачекай(?:те)?, насправді, виправлення
"""
_CORRECTS_UNSPACED = """
    等等, 等一下, 不对, 不對, 更正, 其实, 其實, 实际上, 實際上, 纠正, 应该是, いや, 待って, 違う, 訂正, 実は, 実際は,
    正しくは, 잠깐만?, 사실은?, 정정, 수정
"""
_CALLS_WRONG = r"""
    (?:that|this|it|the answer|my answer)(?:(?:['’]s| is| was) (?:all )?(?:wrong|incorrect|a mistake)),
    (?:that|this|it|the answer|my answer)(?: is not| was not| isn['’]t|['’]s not) (?:right|correct),
    (?:that|this|it|the answer|my answer) can(?:not|['’]t) be (?:right|correct),
    (?:eso |esto )?(?:es|está) (?:incorrect[oa]|equivocad[oa]|mal|fals[oa]), (?:eso |esto )?no (?:es|está)
    (?:correct[oa]|bien),
    c['’]est (?:faux|incorrect|une erreur), ce n['’]est pas (?:correct|juste|exact),
    (?:das|dies) ist (?:falsch|inkorrekt|nicht (?:richtig|korrekt)|ein fehler), das stimmt nicht,
    (?:isso|isto) (?:é|está) (?:errado|incorreto|falso), (?:isso|isto) não (?:é|está) (?:certo|correto),
    (?:questo |ciò )?è (?:sbagliat[oa]|errat[oa]|fals[oa]), (?:questo )?non è (?:corrett[oa]|giust[oa]),
    это (?:неверно|неправильно|ошибка|не так), це (?:невірно|неправильно|помилка), to (?:jest )?(?:błąd|źle|błędne),
    dat is (?:fout|onjuist|niet (?:juist|goed)), (?:itu|ini) (?:salah|keliru), (?:điều này|đáp án này) (?:là )?sai,
    bu yanlış, هذا (?:خطأ|غير صحيح), (?:यह|ये) गलत है, এটা ভুল, یہ غلط ہے
"""
_CALLS_WRONG_UNSPACED = """
    这是?(?:错|不对)(?:的|了)?, 這是?(?:錯|不對)(?:的|了)?, (?:これ|それ)は(?:間違い|誤り|違い), 틀렸습니다, 틀렸다
"""
_NO = """
    no, nope, non, nein, não, нет, hayır, tidak, bukan, không, لا, नहीं, না, نہیں, nee, nie, ні
"""
_NO_UNSPACED = """
    不, 아니요?, 아니, いいえ
"""

# Vowel signs and accents, which are no letters for `re`.
_MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd\u0bbe-\u0bcd\u0c3e-\u0c56"
_LEFT, _RIGHT = rf"(?<![^\W\d_])(?<![{_MARKS}])", rf"(?![^\W\d_{_MARKS}])(?![{_MARKS}])"


def _listed(words: str) -> str:
    """The words of a table as alternatives, long ones first."""
    found = {word.strip() for word in " ".join(unicodedata.normalize("NFC", words).split()).split(",")} - {""}
    return "|".join(sorted(found, key=lambda word: (-len(word), word)))


def _either(spaced: str, unspaced: str = "") -> str:
    """A pattern for the words of a table, and for those of scripts without spaces."""
    pattern = rf"{_LEFT}(?:{_listed(spaced)}){_RIGHT}"
    return f"(?:{pattern}|{_listed(unspaced)})" if unspaced else f"(?:{pattern})"


OR = _either(_OR, _OR_UNSPACED)
OR_SHORT = _either(_OR_SHORT)
NOT = rf"(?:{_either(_NOT, _NOT_UNSPACED)}|n['’]t{_RIGHT})"
NOTHING_ELSE = rf"{_either(_NOTHING)}\W+(?:\w+\W+){{0,3}}?{_either(_ELSE)}(?:\W+\w+){{0,2}}\W*$"
NOT_AFTER = _either(_NOT_AFTER, _NOT_AFTER_UNSPACED)
BOUND = _either(_BOUND, _BOUND_UNSPACED)
BOUND_AFTER = _either(_BOUND_AFTER, _BOUND_AFTER_UNSPACED)
TO = _either(_TO, _TO_UNSPACED)
BETWEEN = _either(_BETWEEN, _BETWEEN_UNSPACED)
BETWEEN_AFTER = _either(_BETWEEN_AFTER, _BETWEEN_AFTER_UNSPACED)
REFUSES = _either(_REFUSES, _REFUSES_UNSPACED)
UNLESS = _either(_UNLESS, _UNLESS_UNSPACED)
EQUALS = _either(_EQUALS)
CORRECTS = _either(_CORRECTS, _CORRECTS_UNSPACED)
CALLS_WRONG = _either(_CALLS_WRONG, _CALLS_WRONG_UNSPACED)
DENIES_BEFORE = _either(_NO, _NO_UNSPACED)
