"""Short forms of given names, by the name they come from. Several lines may share a short form: the first one wins."""

_FAMILIES = """
abigail abby abbie gail
abraham abe bram
adelaide addie adele
albert al bert bertie
alexander alex alec sandy sasha xander lex alejandro alessandro aleksandr
alexandra alexa lexi lexie sandra sacha
alfred alf alfie fred
alice ali
amanda mandy
amelia amy millie milly
andrew andy drew andreas andre andres
angela angie
ann anna anne annie nan hannah
anthony tony ant anton antonio
archibald archie
arthur art artie
barbara barb barbie babs
bartholomew bart
benjamin ben benny benji
bernard bernie
bethany beth
bradley brad
brandon bran
bridget biddy bridie
cameron cam
caroline carrie carolyn carol
catherine cathy cath kate katie katherine kathryn kathy kat kitty katy kathleen katharine katrina
charles charlie chuck chas carlos karl carl
charlotte lottie char
christina chris tina chrissy christine kristin kristina christie
christopher kit topher christoph kris
clifford cliff
constance connie
cynthia cindy
daniel dan danny
danielle dani
david dave davey davy
deborah debbie deb debra
dennis denny
diana di diane
dominic dom nick
donald don donny
dorothy dot dottie dolly
douglas doug
edward ed eddie ted teddy ned eduardo
edwin
eleanor ellie nell nellie nora
elizabeth liz lizzie beth betty eliza lisa libby bess elisabeth elsie bette liza lizzy
emily em emmy
emma
ernest ernie
eugene gene
evelyn evie
ezekiel zeke
florence flo florrie flossie
frances fran francesca frankie
francis frank franklin francisco
frederick freddie freddy fritz
gabriel gabe
gabrielle gabby gabriella
geoffrey geoff jeff jeffrey jeffery
george georgie jorge georg
gerald gerry
gerard
gertrude gertie trudy
gillian gill jill
giovanni
grace gracie
gregory greg gregg
gwendolyn gwen
harold harry hal
harriet hattie
helen nell nellie ellen lena
henry hank harry heinrich
herbert herb
howard howie
hubert hugh
isabella bella izzy isabel isabelle
isaac ike
jacob jake jakob
jacqueline jackie jacqui
james jim jimmy jamie jem
janet jan
jane janie jenny
jasmine jaz jazz
jennifer jen jenny jenn jenna
jeremy jez jeremiah
jessica jess jessie
joan joanie
joanna jo joanne
john johnny jack jon ian johann juan jock
jonathan jonny johnathan nathan
joseph joe joey jo josef jose
josephine josie
joshua josh
judith judy jude
julia jules julie juliet
justin
kenneth ken kenny
kimberly kim kimberley
laura lori laurie
lauren
lawrence larry laurence lars
leonard leo len lenny
leslie les
lewis lew louis lou louie
lillian lily lil
linda lindy
louise lou louisa
lucille lucy
lynn lyn lynne
madeline maddie maddy madeleine
malcolm mal
marcus marc mark marco
margaret maggie meg peggy marge margie greta rita daisy madge marguerite
maria mary marie molly polly mamie maria
marilyn
marjorie
martha marty
martin
matilda tilly tilda mattie
matthew matt matty mathew
maureen mo
maurice
maxwell max maximilian
megan meg
melanie mel
melissa missy lissa
michael mike mick micky mikey mitch miguel michel
michelle shelly
mildred millie
mitchell
mohammed mohamed muhammad mo mohammad
monica
nancy
natalie nat natasha tasha
nathaniel nate nat nathan
nicholas nick nicky nico nicolas klaus
nicole nikki nicky
norman norm
oliver ollie
olivia liv livvy
oscar
pamela pam
patricia pat patty patsy trish tricia
patrick paddy
paul pablo
paula
penelope penny
peter pete pedro
philip phil pip phillip
philippa
phyllis
rachel rach
ralph
randall randy
raymond ray
rebecca becky becca bec
reginald reg reggie
richard rick dick ricky rich richie ricardo
robert bob rob bobby robbie bert roberto
roberta
rodney rod
roger
roland
ronald ron ronnie
rosemary rosie rose
rosalind ros
roxanne roxy
russell russ
ruth ruthie
samantha sam sammy
samuel
sarah sally sadie sara
sebastian seb
shannon
sharon shaz
sidney sid sydney
simon
sophia sophie
stanley stan
stephanie steph
stephen steve steven stevie stefan
stewart stu stuart
susan sue suzie susie susanna suzanne suzy
sylvia
tabitha tabby
tamara tammy tam
teresa terri tess tessa theresa terry tracy
terence terry
thaddeus tad
theodore theo ted
thomas tom tommy tomas
timothy tim timmy
tobias toby
valerie val
vanessa nessa
veronica ronnie vera
victor vic
victoria vicky vicki tori
vincent vince vinnie
virginia ginny ginger
vivian viv
walter wally walt
wendy
wesley wes
wilfred wilf
wilhelmina mina
william bill will billy willy liam wilhelm
winifred winnie
winston
yvonne
zachary zach zack zac
zoe
"""


def _read() -> dict[str, str]:
    roots: dict[str, str] = {}
    families = [line.split() for line in _FAMILIES.split("\n") if line]
    for root, *_ in families:
        roots.setdefault(root, root)
    for root, *short in families:
        for name in short:
            roots.setdefault(name, root)
    return roots


ROOTS = _read()
"""By given name: the name that it is a form of."""
